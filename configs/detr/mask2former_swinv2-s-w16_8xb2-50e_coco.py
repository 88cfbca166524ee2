# Mask2Former (instance segmentation) on SwinV2-S, window 16, for 50 epochs. Not in the paper. The
# number to beat is mask AP 46.1, of Swin V1-S (mmdet's model zoo).
_base_ = './mask2former_swinv2-t-w16_8xb2-50e_coco.py'
model = dict(
    backbone=dict(
        arch='s',
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_small_patch4_window16_256.pth'
        ),
    ),
)
