# ImageNet-1K at 384 x 384; the rest as in imagenet.py. Tests resize the whole image to the square
# without a crop (TEST.CROP False in the official config).
_base_ = './imagenet.py'
train_pipeline = [
    _base_.load,
    dict(type='RandomResizedCrop', size=384),
    *_base_.train_pipeline[2:],
]
test_pipeline = [
    _base_.load,
    dict(type='Resize', scale=(384, 384), backend='pillow', interpolation='bicubic'),
    dict(type='PackClassificationInputs'),
]
train_dataloader = dict(batch_size=64, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=64, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
