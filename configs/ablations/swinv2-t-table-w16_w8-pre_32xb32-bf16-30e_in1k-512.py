# Table 1, parameterized (V1), W16 at 512 pixels: top-1 77.2 without fine-tuning, 83.0 with it.
# Loading interpolates the tables (bicubic), as in the paper. Assumed: as in the log-CPB row. No
# weights are public: train them with swinv2-t-table-w8_8xb128-bf16-300e_in1k-256.py first.
_base_ = './swinv2-t-log-w16_w8-pre_32xb32-bf16-30e_in1k-512.py'
model = dict(
    init_cfg=dict(checkpoint='checkpoints/swinv2-t-table-w8_in1k-256.pth'),
    backbone=dict(position_bias='table'),
)
expected = [dict(metric='acc/top1', value=0.830, tolerance=0.002, source='paper')]
