# ImageNet-1K at 640 x 640; the rest as in imagenet.py. Tests resize the whole image to the
# square, as the official code does at 384.
_base_ = './imagenet.py'
train_pipeline = [
    _base_.load,
    dict(type='RandomResizedCrop', size=640),
    *_base_.train_pipeline[2:],
]
test_pipeline = [
    _base_.load,
    dict(type='Resize', scale=(640, 640), backend='pillow', interpolation='bicubic'),
    dict(type='PackClassificationInputs'),
]
train_dataloader = dict(batch_size=32, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=32, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
