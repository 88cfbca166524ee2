# Table 1, parameterized (V1), COCO W16: box AP 50.8.
# Only the bias is not that of the log-CPB row. Loading interpolates the tables of window 8 to
# window 16 (bicubic), as in the paper.
# No weights are public: pre-train them on ImageNet-1K at window 8 and 256 pixels first.
# Assumed: as in the log-CPB row; blocks and products of this row are V2's, because its ImageNet
# accuracy (81.7) is that of Table 6 with res-post-norm and cosine attention.
_base_ = '../detection/cascade-mask-rcnn_swinv2-t-w16_8xb2-3x_coco.py'
model = dict(
    backbone=dict(
        position_bias='table',
        init_cfg=dict(checkpoint='checkpoints/swinv2-t-table-w8_in1k-256.pth'),
    )
)
