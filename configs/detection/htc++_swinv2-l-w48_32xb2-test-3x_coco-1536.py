# Table 3, SwinV2-L (HTC++), train 1536(32): tests a checkpoint of
# htc++_swinv2-l-w32_32xb2-3x_coco-1536.py at window 48; log-CPB extrapolates.
#   test 1100(48):         tools/test.py CONFIG CHECKPOINT
#   test multi-scale(48):  tools/test.py ... --tta; box / mask AP 60.8 / 52.7 on test-dev
_base_ = ['./htc++_swinv2-l-w32_32xb2-3x_coco-1536.py', '../_base_/tta/htc++_ms-600-1600.py']
model = dict(backbone=dict(window_size=48))
expected = [
    dict(metric='coco/bbox_mAP', value=0.589, tolerance=0.003, source='Table 3, L, 1100(48)'),
    dict(metric='coco/segm_mAP', value=0.512, tolerance=0.003, source='Table 3, L, 1100(48)'),
    dict(metric='coco/bbox_mAP', value=0.602, tolerance=0.003, tta=True, source='Table 3, ms(48)'),
    dict(metric='coco/segm_mAP', value=0.521, tolerance=0.003, tta=True, source='Table 3, ms(48)'),
]
