# The config of SwinV2-T with SwinV2-S. Not in the paper. Assumed: drop path 0.2.
_base_ = './faster-rcnn_swinv2-t-w16_1xb4-bf16-1x_coco.py'
model = dict(
    backbone=dict(
        arch='s',
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_small_patch4_window16_256.pth'
        ),
    ),
)
