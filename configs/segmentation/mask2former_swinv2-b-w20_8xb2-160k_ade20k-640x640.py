# Mask2Former (semantic segmentation) on SwinV2-B, window 20, on ADE20K at 640 x 640. Not in the
# paper. The number to beat is mIoU 53.9, of Swin V1-B (mmseg's model zoo). Weights of
# ImageNet-22K, then 1K.
_base_ = '../_base_/models/mask2former_semantic_640.py'
auto_scale_lr = dict(base_batch_size=16)
model = dict(
    data_preprocessor=dict(size=(640, 640)),
    backbone=dict(
        arch='b',
        window_size=20,
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_base_patch4_window12to16_192to256_22kto1k_ft.pth'
        ),
    ),
    decode_head=dict(in_channels=[128, 256, 512, 1024]),
)
