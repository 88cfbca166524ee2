# Table 1, log-CPB, ADE20K W20. Appendix A1 only mentions window 16, so the row may have
# been trained at 20, or trained at 16 and tested at 20. Assumed here: trained at 20.
# To only test: upernet_swinv2-t-w20_8xb2-test-160k_ade20k-512x512.py.
_base_ = './upernet_swinv2-t-w16_8xb2-160k_ade20k-512x512.py'
model = dict(backbone=dict(window_size=20))
expected = [
    dict(metric='mIoU', value=47.7, tolerance=0.5, source='Table 1, log-CPB, ADE20K W20'),
]
