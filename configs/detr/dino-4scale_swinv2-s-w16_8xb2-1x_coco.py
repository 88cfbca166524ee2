# DINO with 4 scales on SwinV2-S, window 16, for 12 epochs. Not in the paper. No AP of Swin V1-S
# is published for this length and these scales.
_base_ = './dino-4scale_swinv2-t-w16_8xb2-1x_coco.py'
model = dict(
    backbone=dict(
        arch='s',
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_small_patch4_window16_256.pth'
        ),
    ),
)
