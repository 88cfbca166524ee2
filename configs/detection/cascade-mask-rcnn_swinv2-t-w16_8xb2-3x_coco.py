# Table 1, log-CPB, COCO W16 (Cascade Mask R-CNN, SwinV2-T, ImageNet-1K weights of window 8 at 256
# pixels). Appendix A1: short side 480 to 800, long side at most 1333, window 16,
# AdamW with lr 1e-4 and weight decay 0.05, batch 16, 3x.
# Assumed from Swin V1's recipe, because the paper does not specify it: box heads, drop path 0.2,
# warm-up, steps at epochs 27 and 33, crops in addition to the resizes, no layer decay.
_base_ = [
    '../_base_/models/cascade-mask-rcnn.py',
    '../_base_/datasets/coco_instance_ms-480-800.py',
    '../_base_/schedules/adamw_3x.py',
    'mmdet::_base_/default_runtime.py',
]
expected = [
    dict(metric='coco/bbox_mAP', value=0.511, tolerance=0.003, source='Table 1, log-CPB, COCO W16'),
]
