# COCO with stuff maps, as for the paper's HTC++ (arXiv 2111.09883, appendix A2): InstaBoost and
# large-scale jitter, random scale 0.1 to 2.0 of 1536 x 1536. InstaBoost moves objects in the image
# and its annotations, but not in the stuff map. The model's data preprocessor pads images to 1536 x
# 1536, with masks (0) and stuff maps (255).
#
# Tested at a short side of 1100. Assumed, because the paper gives no limit for the long side: 1833,
# the ratio of the usual 800 and 1333.
_base_ = 'mmdet::_base_/datasets/coco_instance.py'
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RunLengthInstaBoost'),  # before loading annotations, whose records it edits
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True, with_seg=True),
    dict(type='RandomResize', scale=(1536, 1536), ratio_range=(0.1, 2.0), keep_ratio=True),
    dict(
        type='RandomCrop',
        crop_type='absolute',
        crop_size=(1536, 1536),
        recompute_bbox=True,
        allow_negative_crop=True,
    ),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1e-2, 1e-2)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1833, 1100), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),  # for --show-dir
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
train_dataloader = dict(
    dataset=dict(
        data_prefix=dict(img='train2017/', seg='stuffthingmaps/train2017/'),
        pipeline=train_pipeline,
    )
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
