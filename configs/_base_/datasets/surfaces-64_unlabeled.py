# Generated surfaces (swinv2_dense/quickstart/surfaces.py) of 64 x 64 pixels, without their labels.
data_root = 'data/surfaces-64/'


def loader(split, batch_size, augment, **settings):
    fixed = split == 'val'
    return dict(
        batch_size=batch_size,
        num_workers=1,
        persistent_workers=True,
        dataset=dict(
            type='UnlabeledImages',
            data_root=data_root,
            data_prefix=dict(img_path=f'images/{split}'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                *augment,
                dict(type='RandomUnitMask', unit=16, ratio=0.6, fixed=fixed),
                dict(type='PackMaskedInputs'),
            ],
        ),
        **settings,
    )


flip = dict(type='RandomFlip', prob=[0.25] * 3, direction=['horizontal', 'vertical', 'diagonal'])
train_dataloader = loader('train', 16, [flip], sampler=dict(type='InfiniteSampler'))
val_dataloader = loader('val', 20, [], sampler=dict(type='DefaultSampler', shuffle=False))
test_dataloader = val_dataloader
val_evaluator = dict(type='MaskedL1')
test_evaluator = val_evaluator
