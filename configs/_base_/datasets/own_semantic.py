# Your own dataset, images of any format and PNG maps of class ids; docs/own_data.md has all steps
# from a folder to mIoU. The folder is data/own, or the one that the environment variable OWN_DATA
# names. To use other folder names, copy this file next to your config and edit its first lines. The
# classes are the lines of classes.txt: id 0 in a map is the first one; 255 is ignored.
data_root = '{{$OWN_DATA:data/own}}/'
folders = dict(
    train=dict(img_path='images/train', seg_map_path='masks/train'),
    val=dict(img_path='images/val', seg_map_path='masks/val'),
)
suffixes = dict(seg_map_suffix='.png')
classes = __import__('swinv2_dense').own_data.read_class_names(data_root + 'classes.txt')
metainfo = dict(classes=classes)  # mmseg draws them in random colors
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=(2048, 512), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(512, 512), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(2048, 512), keep_ratio=True),
    dict(type='LoadAnnotations'),  # after Resize: maps are evaluated at their own size
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='FolderSegDataset',
        data_root=data_root,
        data_prefix=folders['train'],
        metainfo=metainfo,
        pipeline=train_pipeline,
        **suffixes,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='FolderSegDataset',
        data_root=data_root,
        data_prefix=folders['val'],
        metainfo=metainfo,
        pipeline=test_pipeline,
        **suffixes,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
