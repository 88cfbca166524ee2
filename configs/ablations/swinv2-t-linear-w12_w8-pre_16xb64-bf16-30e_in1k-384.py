# Table 1, linear CPB, W12 at 384 pixels: top-1 82.0 without fine-tuning, 82.9 with it. Assumed:
# as in the log-CPB row. No weights are public: train them with
# swinv2-t-linear-w8_8xb128-bf16-300e_in1k-256.py first.
_base_ = './swinv2-t-log-w12_w8-pre_16xb64-bf16-30e_in1k-384.py'
model = dict(
    init_cfg=dict(checkpoint='checkpoints/swinv2-t-linear-w8_in1k-256.pth'),
    backbone=dict(position_bias='linear'),
)
expected = [dict(metric='acc/top1', value=0.829, tolerance=0.002, source='paper')]
