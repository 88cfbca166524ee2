# UperNet with SwinV2-B, window 20, on ADE20K at 640 x 640 for one GPU. Not in the paper, but with
# the recipe of its ablation (appendix A1), and weights of ImageNet-22K, then 1K.
_base_ = './upernet_swinv2-t-w20_1xb16-bf16-160k_ade20k-640x640.py'
model = dict(
    backbone=dict(
        arch='b',
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_base_patch4_window12to16_192to256_22kto1k_ft.pth'
        ),
    ),
    decode_head=dict(in_channels=[128, 256, 512, 1024]),
    auxiliary_head=dict(in_channels=512),
)
