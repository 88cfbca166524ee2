# Table 6, res-post-norm and cosine attention, S: top-1 83.6. Table 7, res-post-norm. Assumed: a
# bias table, because the last column of Table 6 is the parameterized row of Table 1; everything
# else as in the log-CPB row.
_base_ = '../classification/swinv2-s-w8_8xb128-bf16-300e_in1k-256.py'
model = dict(backbone=dict(position_bias='table'))
expected = [dict(metric='acc/top1', value=0.836, tolerance=0.002, source='paper')]
