# Mask2Former for COCO's 80 classes of objects: the model and schedule of mask2former_panoptic.py
# with mmdet's instance pipeline.
_base_ = './mask2former_panoptic.py'
size = (1024, 1024)
padding = dict(
    type='BatchFixedSizePad',
    size=size,
    img_pad_value=0,
    pad_mask=True,
    mask_pad_value=0,
    pad_seg=False,
)
model = dict(
    data_preprocessor=dict(pad_seg=False, batch_augments=[padding]),
    panoptic_head=dict(num_stuff_classes=0, loss_cls=dict(class_weight=[1.0] * 80 + [0.1])),
    panoptic_fusion_head=dict(num_stuff_classes=0),
    test_cfg=dict(panoptic_on=False),
)
train_pipeline = [
    dict(type='LoadImageFromFile', to_float32=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomResize', scale=size, ratio_range=(0.1, 2.0), keep_ratio=True),
    dict(
        type='RandomCrop',
        crop_size=size,
        crop_type='absolute',
        recompute_bbox=True,
        allow_negative_crop=True,
    ),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1e-5, 1e-5), by_mask=True),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1333, 800), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
train_dataloader = dict(
    dataset=dict(
        type='CocoDataset',
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(_delete_=True, img='train2017/'),
        pipeline=train_pipeline,
    )
)
val_dataset = dict(
    type='CocoDataset',
    ann_file='annotations/instances_val2017.json',
    data_prefix=dict(_delete_=True, img='val2017/'),
    pipeline=test_pipeline,
)
val_dataloader = dict(dataset=val_dataset)
test_dataloader = dict(dataset=val_dataset)
val_evaluator = dict(
    type='CocoMetric',
    ann_file='data/coco/annotations/instances_val2017.json',
    metric=['bbox', 'segm'],
    _delete_=True,
)
test_evaluator = val_evaluator
