# Mask2Former (instance segmentation) on SwinV2-B, window 16, for 50 epochs. Not in the paper. No
# mask AP of Swin V1-B is published there. Weights of ImageNet-22K, then 1K.
_base_ = './mask2former_swinv2-t-w16_8xb2-50e_coco.py'
model = dict(
    backbone=dict(
        arch='b',
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_base_patch4_window12to16_192to256_22kto1k_ft.pth'
        ),
    ),
    panoptic_head=dict(in_channels=[128, 256, 512, 1024]),
)
