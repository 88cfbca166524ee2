# Table 6, res-post-norm, T: top-1 81.6. Dot products, as in V1. Assumed: a bias table, because
# the last column of Table 6 is the parameterized row of Table 1; patch merging is V2's;
# everything else as in the log-CPB row.
_base_ = '../classification/swinv2-t-w8_8xb128-bf16-300e_in1k-256.py'
model = dict(backbone=dict(position_bias='table', similarity='dot'))
expected = [dict(metric='acc/top1', value=0.816, tolerance=0.002, source='paper')]
