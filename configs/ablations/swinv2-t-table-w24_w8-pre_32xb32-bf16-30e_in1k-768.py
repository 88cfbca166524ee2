# Table 1, parameterized (V1), W24 at 768 pixels: top-1 68.7 without fine-tuning, 83.2 with it.
# Loading interpolates the tables (bicubic), as in the paper. Assumed: as in the log-CPB row. No
# weights are public: train them with swinv2-t-table-w8_8xb128-bf16-300e_in1k-256.py first.
_base_ = './swinv2-t-log-w24_w8-pre_32xb32-bf16-30e_in1k-768.py'
model = dict(
    init_cfg=dict(checkpoint='checkpoints/swinv2-t-table-w8_in1k-256.pth'),
    backbone=dict(position_bias='table'),
)
expected = [dict(metric='acc/top1', value=0.832, tolerance=0.002, source='paper')]
