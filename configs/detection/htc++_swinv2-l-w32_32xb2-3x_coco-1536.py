# Table 3, SwinV2-L (HTC++), train 1536(32), test 1100(32), on val2017.
# Appendix A2.1: InstaBoost, 1536 x 1536 with random scale 0.1 to 2.0, window 32, AdamW with lr 4e-4
# at a batch of 64, weight decay 0.05, 3x, 0.1 times the heads' lr for the backbone, soft-NMS.
# Assumed, because the paper does not specify it: no layer decay, no clipping, warm-up of 1000
# iterations, steps at epochs 27 and 33, and the assumptions of the fragments.
# For the rows 1100(48) and multi-scale(48), see htc++_swinv2-l-w48_32xb2-test-3x_coco-1536.py.
_base_ = [
    '../_base_/models/htc++_1536.py',
    '../_base_/datasets/coco_semantic_lsj-1536.py',
    '../_base_/schedules/adamw_3x.py',
    'mmdet::_base_/default_runtime.py',
]
optim_wrapper = dict(optimizer=dict(lr=4e-4), paramwise_cfg=dict(backbone_lr_mult=0.1))
auto_scale_lr = dict(base_batch_size=64)
expected = [
    dict(metric='coco/bbox_mAP', value=0.588, tolerance=0.003, source='Table 3, L, 1100(32)'),
    dict(metric='coco/segm_mAP', value=0.511, tolerance=0.003, source='Table 3, L, 1100(32)'),
]
