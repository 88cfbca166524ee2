# SimMIM on videos, an extension of this package (not in the paper, and no weights were released):
# SwinV2-T in three dimensions, 16 frames of 192 x 192, units of 2 x 32 x 32 pixels masked in tubes
# over time. Each frame is normalized as an image.
# Assumed: mask ratio 0.6, learning rate 1e-4 per 512 clips, weight decay, clipping and drop path of
# SimMIM; window 8 in time covers the clip; 200 epochs with the step at 7/8 of them; bf16.
_base_ = [
    '../_base_/models/simmim_video.py',
    '../_base_/datasets/kinetics400_unlabeled.py',
    '../_base_/schedules/adamw_800e.py',
    '../_base_/runtime/pretraining.py',
]
optim_wrapper = dict(optimizer=dict(lr=5e-5))
train_cfg = dict(max_epochs=200)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.005, begin=0, end=10, convert_to_iter_based=True),
    dict(type='MultiStepLR', begin=0, end=200, by_epoch=True, milestones=[175], gamma=0.1),
]
auto_scale_lr = dict(base_batch_size=256)
