# Generated surfaces (swinv2_dense/quickstart/surfaces.py); every image is 128 x 128.
data_root = 'data/surfaces/'
metainfo = dict(
    classes=(
        *('red stripes', 'red dots', 'green stripes'),
        *('green checks', 'blue dots', 'blue checks'),
    ),
    palette=[
        *([230, 60, 50], [255, 165, 120], [40, 150, 70]),
        *([170, 220, 60], [40, 90, 220], [110, 200, 240]),
    ],
)


def loader(split, pipeline, **settings):
    return dict(
        batch_size=8,
        num_workers=1,
        persistent_workers=True,
        dataset=dict(
            type='BaseSegDataset',
            data_root=data_root,
            metainfo=metainfo,
            img_suffix='.png',
            data_prefix=dict(img_path=f'images/{split}', seg_map_path=f'masks/{split}'),
            pipeline=pipeline,
        ),
        **settings,
    )


load, maps, pack = (
    dict(type=name) for name in ('LoadImageFromFile', 'LoadAnnotations', 'PackSegInputs')
)
flip = dict(type='RandomFlip', prob=[0.25] * 3, direction=['horizontal', 'vertical', 'diagonal'])
train_dataloader = loader('train', [load, maps, flip, pack], sampler=dict(type='InfiniteSampler'))
val_dataloader = loader(
    'val', [load, maps, pack], sampler=dict(type='DefaultSampler', shuffle=False)
)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
