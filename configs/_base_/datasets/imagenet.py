# ImageNet-1K at 256 x 256; data/README.md shows the layout. Augmentation as in the official code:
# crops of random area, flips, RandAugment 'rand-m9-mstd0.5-inc1', random erasing 0.25. Its color
# jitter of 0.4 has no effect beside RandAugment: timm leaves it out. Tests resize the shorter side
# to 256/224 of the crop, bicubic. Images are decoded by Pillow, which ignores their orientation tag
# here, as in the code behind the published accuracies.
data_root = 'data/imagenet/'
load = dict(
    type='LoadImageFromFile', imdecode_backend='pillow', color_type='color_ignore_orientation'
)
train_pipeline = [
    load,
    dict(type='RandomResizedCrop', size=256),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandAugment', magnitude=9, magnitude_std=0.5),
    dict(type='RandomErasing', prob=0.25),
    dict(type='PackClassificationInputs'),
]
test_pipeline = [
    load,
    dict(type='ResizeShorterSide', size=292),
    dict(type='CenterCrop', crop_size=256),
    dict(type='PackClassificationInputs'),
]
train_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='ImageNet',
        data_root=data_root,
        data_prefix=dict(img_path='train'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ImageNet',
        data_root=data_root,
        data_prefix=dict(img_path='val'),
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='ClassificationAccuracy', topk=(1, 5))
test_evaluator = val_evaluator
