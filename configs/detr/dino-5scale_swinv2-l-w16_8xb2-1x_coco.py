# DINO with 5 scales on SwinV2-L, window 16, for 12 epochs. Not in the paper. The number to beat
# is 57.2 AP, of Swin V1-L (mmdet's model zoo). Weights of ImageNet-22K, then 1K.
_base_ = './dino-4scale_swinv2-t-w16_8xb2-1x_coco.py'
model = dict(
    num_feature_levels=5,
    backbone=dict(
        arch='l',
        out_indices=(0, 1, 2, 3),
        with_cp=True,
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_large_patch4_window12to16_192to256_22kto1k_ft.pth'
        ),
    ),
    neck=dict(in_channels=[192, 384, 768, 1536], num_outs=5),
    encoder=dict(layer_cfg=dict(self_attn_cfg=dict(num_levels=5))),
    decoder=dict(layer_cfg=dict(cross_attn_cfg=dict(num_levels=5))),
)
