# Table 1, linear CPB, W16 at 512 pixels: top-1 81.2 without fine-tuning, 83.3 with it. Assumed:
# as in the log-CPB row. No weights are public: train them with
# swinv2-t-linear-w8_8xb128-bf16-300e_in1k-256.py first.
_base_ = './swinv2-t-log-w16_w8-pre_32xb32-bf16-30e_in1k-512.py'
model = dict(
    init_cfg=dict(checkpoint='checkpoints/swinv2-t-linear-w8_in1k-256.pth'),
    backbone=dict(position_bias='linear'),
)
expected = [dict(metric='acc/top1', value=0.833, tolerance=0.002, source='paper')]
