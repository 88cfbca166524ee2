# Video-SwinV2-G on Kinetics-400, first of two stages (appendix A2.2): 256 x 256 x 8, window 16 x 16
# x 8 (height, width, time), AdamW with lr 3.6e-4 and weight decay 0.1, batch 80, 20 epochs with
# cosine decay after 2.5 of warm-up. The second stage, which Table 5 reports:
#   swinv2-giant-p244-w8x20x20_32xb2-bf16-fsdp-16x4x1-5e_kinetics400-rgb-320.py
# Assumed, because the paper does not specify it: "x 8" counts tokens, 16 frames in patches of 2
# (see the data fragment), and window 8 covers the clip; a tenth of the lr for the backbone and
# I3D's head with dropout 0.5, as in Video Swin; drop path 0.4, as on ADE20K; bf16. The weights of
# SwinV2-G were never released: set model.backbone.init_cfg to your own.
_base_ = [
    '../_base_/models/recognizer.py',
    '../_base_/datasets/kinetics400_16.py',
    '../_base_/schedules/adamw_30e.py',
    '../_base_/schedules/fsdp.py',
    '../_base_/runtime/video.py',
]
model = dict(
    backbone=dict(arch='g', window_size=(8, 16, 16), drop_path_rate=0.4, init_cfg=None),
    cls_head=dict(in_channels=4096),
)
train_dataloader = dict(batch_size=2)
val_dataloader = dict(batch_size=2)
optim_wrapper = dict(optimizer=dict(lr=3.6e-4, weight_decay=0.1))
train_cfg = dict(max_epochs=20)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, begin=0, end=2.5, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=20, eta_min=0, begin=0, end=20),
]
auto_scale_lr = dict(base_batch_size=80)
