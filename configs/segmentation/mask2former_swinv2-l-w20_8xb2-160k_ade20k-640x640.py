# Mask2Former (semantic segmentation) on SwinV2-L, window 20, on ADE20K at 640 x 640. Not in the
# paper. The number to beat is mIoU 56.01, of Swin V1-L (mmseg's model zoo). Weights of
# ImageNet-22K, then 1K.
_base_ = './mask2former_swinv2-b-w20_8xb2-160k_ade20k-640x640.py'
model = dict(
    backbone=dict(
        arch='l',
        with_cp=True,
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_large_patch4_window12to16_192to256_22kto1k_ft.pth'
        ),
    ),
    decode_head=dict(in_channels=[192, 384, 768, 1536]),
)
