# DINO with 4 scales on SwinV2-T, window 16, for 36 epochs. Not in the paper. No AP of Swin V1-T
# is published for this length and these scales.
_base_ = './dino-4scale_swinv2-t-w16_8xb2-1x_coco.py'
train_cfg = dict(max_epochs=36)
param_scheduler = [
    dict(type='MultiStepLR', begin=0, end=36, by_epoch=True, milestones=[27, 33], gamma=0.1)
]
