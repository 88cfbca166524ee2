# Your own dataset, one folder of videos per class; docs/own_data.md has all steps from a folder to
# top-1. The folder is data/own, or the one that the environment variable OWN_DATA names. To use
# other folder names, copy this file next to your config and edit its first lines. The classes are
# the folders of the training videos, sorted by name. Sampling, training and testing: as
# kinetics400.py.
data_root = '{{$OWN_DATA:data/own}}/'
folders = dict(train='train', val='val')
classes = __import__('swinv2_dense').own_data.read_class_folders(data_root + folders['train'])
metainfo = dict(classes=classes)
train_pipeline = [
    dict(type='VideoInit'),
    dict(type='SampleFrames', clip_len=32, frame_interval=2, num_clips=1),
    dict(type='VideoDecode'),
    dict(type='Resize', scale=(-1, 293)),
    dict(type='RandomResizedCrop'),
    dict(type='Resize', scale=(256, 256), keep_ratio=False),
    dict(type='Flip', flip_ratio=0.5),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
val_pipeline = [
    dict(type='VideoInit'),
    dict(type='SampleFrames', clip_len=32, frame_interval=2, num_clips=1, test_mode=True),
    dict(type='VideoDecode'),
    dict(type='Resize', scale=(-1, 256)),
    dict(type='CenterCrop', crop_size=256),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
test_pipeline = [
    dict(type='VideoInit'),
    dict(type='SampleFrames', clip_len=32, frame_interval=2, num_clips=4, test_mode=True),
    dict(type='VideoDecode'),
    dict(type='Resize', scale=(-1, 256)),
    dict(type='ThreeCrop', crop_size=256),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='FolderVideoDataset',
        data_root=data_root,
        data_prefix=dict(video=folders['train']),
        metainfo=metainfo,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='FolderVideoDataset',
        data_root=data_root,
        data_prefix=dict(video=folders['val']),
        metainfo=metainfo,
        pipeline=val_pipeline,
        test_mode=True,
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='FolderVideoDataset',
        data_root=data_root,
        data_prefix=dict(video=folders['val']),
        metainfo=metainfo,
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
val_evaluator = dict(type='AccMetric')
test_evaluator = val_evaluator
