# DINO with 5 scales on SwinV2-T, window 16, for 12 epochs. Not in the paper. No AP of Swin V1-T
# is published for this length and these scales.
_base_ = './dino-4scale_swinv2-t-w16_8xb2-1x_coco.py'
model = dict(
    num_feature_levels=5,
    backbone=dict(
        out_indices=(0, 1, 2, 3),
    ),
    neck=dict(in_channels=[96, 192, 384, 768], num_outs=5),
    encoder=dict(layer_cfg=dict(self_attn_cfg=dict(num_levels=5))),
    decoder=dict(layer_cfg=dict(cross_attn_cfg=dict(num_levels=5))),
)
