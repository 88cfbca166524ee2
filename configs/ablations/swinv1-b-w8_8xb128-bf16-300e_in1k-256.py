# Table 6, without res-post-norm and cosine attention, B: top-1 83.6. Table 7, pre-norm. Window 8
# at 256 pixels. Assumed: this column is Swin V1 as a whole, with its bias table and patch
# merging; everything else as in the log-CPB row.
_base_ = '../classification/swinv2-b-w8_8xb128-bf16-300e_in1k-256.py'
model = dict(backbone=dict(type='SwinTransformerV1'))
expected = [dict(metric='acc/top1', value=0.836, tolerance=0.002, source='paper')]
