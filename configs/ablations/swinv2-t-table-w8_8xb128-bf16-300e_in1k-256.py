# Table 1, parameterized (V1), W8, and Table 6, res-post-norm and cosine attention, T: top-1 81.7.
# Tables of window 8 are what the rows of larger windows start from. Assumed: a bias table,
# because the last column of Table 6 is the parameterized row of Table 1; everything else as in
# the log-CPB row.
_base_ = '../classification/swinv2-t-w8_8xb128-bf16-300e_in1k-256.py'
model = dict(backbone=dict(position_bias='table'))
expected = [dict(metric='acc/top1', value=0.817, tolerance=0.002, source='paper')]
