# The config of SwinV2-B with SwinV2-S. Not in the paper. Assumed: drop path 0.2, the
# heads of the attention layer (32 channels each, as in the backbone).
_base_ = './htc++-without-mask_swinv2-b-w16_1xb2-bf16-3x_coco-1600.py'
channels = [96, 192, 384, 768]
model = dict(
    backbone=dict(
        arch='s',
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_small_patch4_window16_256.pth'
        ),
    ),
    neck=[
        dict(type='GlobalAttention', in_channels=channels, num_heads=24),
        dict(type='FPN', in_channels=channels, out_channels=256, num_outs=5),
    ],
)
