# Plain-DETR with SwinV2-S, window 16, and BoxRPB: 46.1 AP on val2017 (Table 2, row 2, released
# code impiga/Plain-DETR). Supervised weights of ImageNet-1K; their windows are [16, 16, 16, 8].
# Assumed: mmdet's resizing (the released code resizes with PIL).
_base_ = [
    '../_base_/models/plain-detr.py',
    '../_base_/datasets/coco_detection_detr-480-800.py',
    '../_base_/schedules/adamw_plain-detr_1x.py',
]
train_dataloader = dict(batch_size=1)
expected = [dict(metric='coco/bbox_mAP', value=0.461, tolerance=0.003, source='Table 2, row 2')]
