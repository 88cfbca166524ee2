# The images of surfaces.py without their labels.
data_root = 'data/surfaces/'


def loader(split, crop, mask, **settings):
    return dict(
        batch_size=32,
        num_workers=1,
        persistent_workers=True,
        dataset=dict(
            type='UnlabeledImages',
            data_root=data_root,
            data_prefix=dict(img_path=f'images/{split}'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                *crop,
                dict(type='RandomUnitMask', unit=32, ratio=0.6, **mask),
                dict(type='PackMaskedInputs'),
            ],
        ),
        **settings,
    )


augment = [
    dict(type='RandomResizedCrop', size=128, scale=(0.67, 1.0), interpolation='bilinear'),
    dict(type='RandomFlip', prob=[0.25] * 3, direction=['horizontal', 'vertical', 'diagonal']),
]
train_dataloader = loader('train', augment, {}, sampler=dict(type='InfiniteSampler'))
val_dataloader = loader(
    'val', [], dict(fixed=True), sampler=dict(type='DefaultSampler', shuffle=False)
)
test_dataloader = val_dataloader
val_evaluator = dict(type='MaskedL1')
test_evaluator = val_evaluator
