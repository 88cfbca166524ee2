# Table 1, log-CPB, ADE20K W32. Appendix A1 only mentions window 16, so the row may have
# been trained at 32, or trained at 16 and tested at 32. Assumed here: trained at 32.
# To only test: upernet_swinv2-t-w32_8xb2-test-160k_ade20k-512x512.py.
_base_ = './upernet_swinv2-t-w16_8xb2-160k_ade20k-512x512.py'
model = dict(backbone=dict(window_size=32))
expected = [
    dict(metric='mIoU', value=47.8, tolerance=0.5, source='Table 1, log-CPB, ADE20K W32'),
]
