# The config of SwinV2-T with SwinV2-B. Not in the paper. Assumed: drop path 0.3.
_base_ = './faster-rcnn_swinv2-t-w16_1xb4-bf16-1x_coco.py'
model = dict(
    backbone=dict(
        arch='b',
        drop_path_rate=0.3,
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_base_patch4_window16_256.pth'
        ),
    ),
    neck=dict(in_channels=[128, 256, 512, 1024]),
)
