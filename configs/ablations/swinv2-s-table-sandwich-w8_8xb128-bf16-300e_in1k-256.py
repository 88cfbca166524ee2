# Table 7, sandwich norm, S: top-1 82.6. Assumed: cosine attention and a bias table, as in the
# column with res-post-norm (83.6, that of Table 6); everything else as in the log-CPB row.
_base_ = '../classification/swinv2-s-w8_8xb128-bf16-300e_in1k-256.py'
model = dict(backbone=dict(position_bias='table', block='sandwich'))
expected = [dict(metric='acc/top1', value=0.826, tolerance=0.002, source='paper')]
