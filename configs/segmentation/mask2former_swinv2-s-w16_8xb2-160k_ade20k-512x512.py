# Mask2Former (semantic segmentation) on SwinV2-S, window 16, on ADE20K at 512 x 512. Not in the
# paper. The number to beat is mIoU 51.24, of Swin V1-S (mmseg's model zoo).
_base_ = './mask2former_swinv2-t-w16_8xb2-160k_ade20k-512x512.py'
model = dict(
    backbone=dict(
        arch='s',
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_small_patch4_window16_256.pth'
        ),
    ),
)
