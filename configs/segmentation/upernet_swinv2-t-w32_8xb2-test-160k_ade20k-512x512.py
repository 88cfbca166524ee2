# Table 1, log-CPB, ADE20K W32. Tests a checkpoint trained at window 16 with
# upernet_swinv2-t-w16_8xb2-160k_ade20k-512x512.py: the other reading of the row (appendix A1 only
# mentions training at 16). Same as --cfg-options model.backbone.window_size=32 with that config.
_base_ = './upernet_swinv2-t-w16_8xb2-160k_ade20k-512x512.py'
model = dict(backbone=dict(window_size=32))
expected = [
    dict(metric='mIoU', value=47.8, tolerance=0.5, source='Table 1, log-CPB, ADE20K W32'),
]
