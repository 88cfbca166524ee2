# SwinV2-B at window 32 with the recipe of Table 1's COCO rows; not in the paper.
# Assumed: drop path 0.3, as in Swin V1's recipe.
_base_ = './cascade-mask-rcnn_swinv2-t-w16_8xb2-3x_coco.py'
model = dict(
    backbone=dict(
        arch='b',
        window_size=32,
        drop_path_rate=0.3,
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_base_patch4_window8_256.pth'
        ),
    ),
    neck=dict(in_channels=[128, 256, 512, 1024]),
)
expected = None  # not a row of the paper
