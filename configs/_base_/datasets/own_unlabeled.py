# Images of any size and format in any folder, at any depth, without labels; docs/pretraining.md has
# all steps. The folder is data/own, or the one that the environment variable OWN_DATA names. 2 % of
# the images are held out for validation. Crops as in SimMIM (192 pixels, area 0.67 to 1, flips).
data_root = '{{$OWN_DATA:data/own}}/'
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='RandomResizedCrop',
        size=192,
        scale=(0.67, 1.0),
        ratio=(3 / 4, 4 / 3),
        interpolation='bilinear',
    ),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomUnitMask', unit=32, ratio=0.6),
    dict(type='PackMaskedInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    # The shorter side becomes 192.
    dict(
        type='Resize',
        scale=(100000, 192),
        keep_ratio=True,
        backend='pillow',
        interpolation='bilinear',
    ),
    dict(type='CenterCrop', crop_size=192),
    dict(type='RandomUnitMask', unit=32, ratio=0.6, fixed=True),
    dict(type='PackMaskedInputs'),
]
train_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='UnlabeledImages', data_root=data_root, part='train', pipeline=train_pipeline
    ),
)
val_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='UnlabeledImages',
        data_root=data_root,
        part='held_out',
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='MaskedL1')
test_evaluator = val_evaluator
