# DINO with 4 scales on SwinV2-B, window 16, for 36 epochs. Not in the paper. No AP of Swin V1-B
# is published for this length and these scales. Weights of ImageNet-22K, then 1K.
_base_ = './dino-4scale_swinv2-t-w16_8xb2-1x_coco.py'
model = dict(
    backbone=dict(
        arch='b',
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_base_patch4_window12to16_192to256_22kto1k_ft.pth'
        ),
    ),
    neck=dict(in_channels=[256, 512, 1024]),
)
train_cfg = dict(max_epochs=36)
param_scheduler = [
    dict(type='MultiStepLR', begin=0, end=36, by_epoch=True, milestones=[27, 33], gamma=0.1)
]
