# Table 1, parameterized (V1), W20 at 640 pixels: top-1 73.2 without fine-tuning, 83.2 with it.
# Loading interpolates the tables (bicubic), as in the paper. Assumed: as in the log-CPB row. No
# weights are public: train them with swinv2-t-table-w8_8xb128-bf16-300e_in1k-256.py first.
_base_ = './swinv2-t-log-w20_w8-pre_32xb32-bf16-30e_in1k-640.py'
model = dict(
    init_cfg=dict(checkpoint='checkpoints/swinv2-t-table-w8_in1k-256.pth'),
    backbone=dict(position_bias='table'),
)
expected = [dict(metric='acc/top1', value=0.832, tolerance=0.002, source='paper')]
