# UperNet with SwinV2-S, window 20, on ADE20K at 640 x 640 for one GPU. Not in the paper, but with
# the recipe of its ablation (appendix A1), and weights of ImageNet-1K.
_base_ = './upernet_swinv2-t-w20_1xb16-bf16-160k_ade20k-640x640.py'
model = dict(
    backbone=dict(
        arch='s',
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_small_patch4_window16_256.pth'
        ),
    ),
)
