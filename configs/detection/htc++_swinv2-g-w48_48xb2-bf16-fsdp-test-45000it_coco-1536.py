# Table 3, SwinV2-G (HTC++), train 1536(32): tests a checkpoint of
# htc++_swinv2-g-w32_48xb2-bf16-fsdp-45000it_coco-1536.py at window 48; log-CPB extrapolates.
#   test 1100(48):         tools/test.py CONFIG CHECKPOINT
#   test multi-scale(48):  tools/test.py ... --tta; box / mask AP 63.1 / 54.4 on test-dev
_base_ = [
    './htc++_swinv2-g-w32_48xb2-bf16-fsdp-45000it_coco-1536.py',
    '../_base_/tta/htc++_ms-600-1600.py',
]
model = dict(backbone=dict(window_size=48))
expected = [
    dict(metric='coco/bbox_mAP', value=0.619, tolerance=0.003, source='Table 3, G, 1100(48)'),
    dict(metric='coco/segm_mAP', value=0.534, tolerance=0.003, source='Table 3, G, 1100(48)'),
    dict(metric='coco/bbox_mAP', value=0.625, tolerance=0.003, tta=True, source='Table 3, ms(48)'),
    dict(metric='coco/segm_mAP', value=0.537, tolerance=0.003, tta=True, source='Table 3, ms(48)'),
]
