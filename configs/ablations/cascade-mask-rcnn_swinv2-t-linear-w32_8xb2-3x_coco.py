# Table 1, linear CPB, COCO W32: box AP 51.7. Assumed, as in the log-CPB row: trained at 32.
_base_ = './cascade-mask-rcnn_swinv2-t-linear-w16_8xb2-3x_coco.py'
model = dict(backbone=dict(window_size=32))
