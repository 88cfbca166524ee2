# Table 3, SwinV2-G (HTC++), train 1536(32): tests a checkpoint of
# htc++_swinv2-g-w32_48xb2-bf16-fsdp-45000it_coco-1536.py at window 48; log-CPB extrapolates.
#   test 1100(48):         box / mask AP 61.9 / 53.4 on val2017: tools/test.py CONFIG CHECKPOINT
#   test multi-scale(48):  62.5 / 53.7, test-dev 63.1 / 54.4:    tools/test.py ... --tta
_base_ = [
    './htc++_swinv2-g-w32_48xb2-bf16-fsdp-45000it_coco-1536.py',
    '../_base_/tta/htc++_ms-600-1600.py',
]
model = dict(backbone=dict(window_size=48))
