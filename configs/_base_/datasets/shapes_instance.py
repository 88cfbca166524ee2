# Generated shapes (tools/make_shapes.py), COCO format with semantic maps; all images are 128 x 128.
data_root = 'data/shapes/'
metainfo = dict(classes=('disc', 'ring', 'square', 'triangle', 'star', 'cross'))
load = [dict(type='LoadImageFromFile')]
annotate = dict(type='LoadAnnotations', with_bbox=True, with_mask=True, with_seg=True)
resize = dict(type='Resize', scale=(128, 128), keep_ratio=True)

train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler'),
    dataset=dict(
        type='CocoDataset',
        metainfo=metainfo,
        data_root=data_root,
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='train/', seg='stuffthingmaps/train/'),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=[
            *load,
            annotate,
            resize,
            dict(
                type='RandomFlip', prob=[0.25] * 3, direction=['horizontal', 'vertical', 'diagonal']
            ),
            dict(type='PackDetInputs'),
        ],
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CocoDataset',
        metainfo=metainfo,
        data_root=data_root,
        test_mode=True,
        ann_file='annotations/instances_val.json',
        data_prefix=dict(img='val/'),
        pipeline=[
            *load,
            resize,
            dict(
                type='PackDetInputs',
                meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
            ),
        ],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type='CocoMetric',
    metric=['bbox', 'segm'],
    ann_file=data_root + 'annotations/instances_val.json',
)
test_evaluator = val_evaluator
