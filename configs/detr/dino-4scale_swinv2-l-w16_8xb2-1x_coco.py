# DINO with 4 scales on SwinV2-L, window 16, for 12 epochs. Not in the paper. The number to beat
# is 56.9 AP, of Swin V1-L (detrex). Weights of ImageNet-22K, then 1K.
_base_ = './dino-4scale_swinv2-t-w16_8xb2-1x_coco.py'
model = dict(
    backbone=dict(
        arch='l',
        with_cp=True,
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_large_patch4_window12to16_192to256_22kto1k_ft.pth'
        ),
    ),
    neck=dict(in_channels=[384, 768, 1536]),
)
