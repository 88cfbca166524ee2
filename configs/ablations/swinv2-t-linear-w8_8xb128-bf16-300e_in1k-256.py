# Table 1, linear CPB, W8: top-1 81.7. The scale of linear coordinates is not specified; here they
# reach 1 at the pretrained window. Assumed: everything else as in the log-CPB row.
_base_ = '../classification/swinv2-t-w8_8xb128-bf16-300e_in1k-256.py'
model = dict(backbone=dict(position_bias='linear'))
expected = [dict(metric='acc/top1', value=0.817, tolerance=0.002, source='paper')]
