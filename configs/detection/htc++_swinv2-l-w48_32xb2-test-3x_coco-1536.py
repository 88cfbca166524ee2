# Table 3, SwinV2-L (HTC++), train 1536(32): tests a checkpoint of
# htc++_swinv2-l-w32_32xb2-3x_coco-1536.py at window 48; log-CPB extrapolates.
#   test 1100(48):         box / mask AP 58.9 / 51.2 on val2017: tools/test.py CONFIG CHECKPOINT
#   test multi-scale(48):  60.2 / 52.1, test-dev 60.8 / 52.7:    tools/test.py ... --tta
_base_ = ['./htc++_swinv2-l-w32_32xb2-3x_coco-1536.py', '../_base_/tta/htc++_ms-600-1600.py']
model = dict(backbone=dict(window_size=48))
