# Table 1, parameterized (V1), ADE20K W20: mIoU 45.8. Assumed, as in the log-CPB row: trained at 20.
_base_ = './upernet_swinv2-t-table-w16_8xb2-160k_ade20k-512x512.py'
model = dict(backbone=dict(window_size=20))
