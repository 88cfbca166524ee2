# Your own dataset, one folder of images per class; docs/classification.md has all steps from a
# folder to top-1. The folder is data/own, or the one that the environment variable OWN_DATA names.
# To use other folder names, copy this file next to your config and edit its first lines. The
# classes are the folders of the training images, sorted by name. Pipelines as in imagenet.py, but
# with OpenCV, whose orientation tags count, and without erasing.
data_root = '{{$OWN_DATA:data/own}}/'
folders = dict(train='train', val='val')
classes = __import__('swinv2_dense').own_data.read_image_folders(data_root + folders['train'])
metainfo = dict(classes=classes)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', size=256, scale=(0.35, 1.0)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandAugment', magnitude=9, magnitude_std=0.5),
    dict(type='PackClassificationInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeShorterSide', size=292),
    dict(type='CenterCrop', crop_size=256),
    dict(type='PackClassificationInputs'),
]
train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='ClassFolderDataset',
        data_root=data_root,
        data_prefix=dict(img_path=folders['train']),
        metainfo=metainfo,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ClassFolderDataset',
        data_root=data_root,
        data_prefix=dict(img_path=folders['val']),
        metainfo=metainfo,
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='ClassificationAccuracy', classwise=True)
test_evaluator = val_evaluator
