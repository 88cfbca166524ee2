# Objects365 v2, boxes only, at the input size that the paper gives as [800, 1024]. Assumed: the
# short side is sampled from 800 to 1024, and the long side is at most 1707 (the ratio of 800 and
# 1333); no InstaBoost, which needs masks.
_base_ = 'mmdet::_base_/datasets/objects365v2_detection.py'
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomResize', scale=[(1707, 800), (1707, 1024)], keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1707, 1024), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),  # for --show-dir
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
