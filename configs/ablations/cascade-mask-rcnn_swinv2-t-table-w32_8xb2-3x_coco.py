# Table 1, parameterized (V1), COCO W32: box AP 50.9. Assumed, as in the log-CPB row: trained at 32.
_base_ = './cascade-mask-rcnn_swinv2-t-table-w16_8xb2-3x_coco.py'
model = dict(backbone=dict(window_size=32))
