# SwinV2-S at window 32 with the recipe of Table 1's COCO rows; not in the paper.
# Assumed: drop path 0.2, as in Swin V1's recipe.
_base_ = './cascade-mask-rcnn_swinv2-t-w16_8xb2-3x_coco.py'
model = dict(
    backbone=dict(
        arch='s',
        window_size=32,
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_small_patch4_window8_256.pth'
        ),
    ),
)
expected = None  # not a row of the paper
