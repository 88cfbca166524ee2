# Your own dataset in COCO format with boxes only; docs/own_boxes.md has all steps from a folder to
# AP. Masks in the files are not read. The folder is data/own, or the one that the environment
# variable OWN_DATA names. To use other file names, copy this file next to your config and edit its
# first lines. The classes are those of the training annotations.
data_root = '{{$OWN_DATA:data/own}}/'
files = dict(
    train=dict(ann_file='annotations/train.json', data_prefix=dict(img='train/')),
    val=dict(ann_file='annotations/val.json', data_prefix=dict(img='val/')),
)
classes = __import__('swinv2_dense').own_data.read_classes(data_root + files['train']['ann_file'])
metainfo = dict(classes=classes, palette=None)  # random colors, because COCO has only 80
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomResize', scale=[(1333, 480), (1333, 800)], keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1333, 800), keep_ratio=True),
    # For tools/browse_dataset.py --split val; evaluation reads the annotation file itself.
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
train_dataloader = dict(
    batch_size=2,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(
        type='CocoDataset',
        data_root=data_root,
        metainfo=metainfo,
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline,
        **files['train'],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CocoDataset',
        data_root=data_root,
        metainfo=metainfo,
        test_mode=True,
        pipeline=test_pipeline,
        **files['val'],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type='CocoMetric',
    ann_file=data_root + files['val']['ann_file'],
    metric='bbox',
    classwise=True,
)
test_evaluator = val_evaluator
