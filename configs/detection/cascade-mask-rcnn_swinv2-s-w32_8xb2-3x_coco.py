# The recipe of Table 1's COCO rows with SwinV2-S, window 32: ours, the paper has no number.
# Assumption: drop path 0.2, as Swin V1's recipe.
_base_ = './cascade-mask-rcnn_swinv2-t-w16_8xb2-3x_coco.py'
model = dict(
    backbone=dict(
        arch='s',
        window_size=32,
        drop_path_rate=0.2,
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_small_patch4_window8_256.pth'
        ),
    ),
)
