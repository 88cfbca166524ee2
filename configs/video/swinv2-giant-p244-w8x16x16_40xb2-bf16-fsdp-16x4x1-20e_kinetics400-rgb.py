# Video-SwinV2-G on Kinetics-400, the first of two stages (appendix A2.2): 256 x 256 x 8, window
# 16 x 16 x 8 (height, width, time), AdamW with lr 3.6e-4 and weight decay 0.1, batch 80, 20 epochs
# of cosine after 2.5 of warm-up. The second stage, which Table 5 reports:
#   swinv2-giant-p244-w8x20x20_32xb2-bf16-fsdp-16x4x1-5e_kinetics400-rgb-320.py
# Assumed, as the paper is silent: "x 8" counts tokens, 16 frames in patches of 2 (by the Swin V1
# row of the same table, see the data fragment), so window 8 covers the clip; a tenth of the rate
# for the backbone and I3D's head with dropout 0.5, as Video Swin; drop path 0.4, as on ADE20K;
# bf16.
# SwinV2-G's weights were never released: name yours in model.backbone.init_cfg.
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
