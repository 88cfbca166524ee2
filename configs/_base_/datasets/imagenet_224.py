# ImageNet-1K at 224 x 224; the rest as in imagenet.py.
_base_ = './imagenet.py'
train_pipeline = [
    _base_.load,
    dict(type='RandomResizedCrop', size=224),
    *_base_.train_pipeline[2:],
]
test_pipeline = [
    _base_.load,
    dict(type='ResizeShorterSide', size=256),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackClassificationInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
