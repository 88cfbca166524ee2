# Generated surfaces (swinv2_dense/quickstart/surfaces.py); all images are 128 x 128.
data_root = 'data/surfaces/'
metainfo = dict(
    classes=(
        *('red stripes', 'yellow dots', 'green checks'),
        *('cyan stripes', 'blue dots', 'magenta checks'),
    ),
    palette=[
        *([215, 55, 45], [240, 200, 60], [50, 160, 70]),
        *([80, 200, 215], [45, 80, 200], [200, 60, 180]),
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
