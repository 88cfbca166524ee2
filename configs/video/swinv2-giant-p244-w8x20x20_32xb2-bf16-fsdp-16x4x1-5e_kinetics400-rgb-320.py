# Table 5, Video-SwinV2-G, train 320(20)^2 x 8(8), test the same with 1 x 1 views.
# Appendix A2.2, second stage: 320 x 320 x 8, window 20 x 20 x 8 (height, width, time), AdamW with
# lr 5e-5 and weight decay 0.1, batch 64, 5 epochs with cosine decay after 1 of warm-up, initialized
# from the first stage. Assumed: as there. The rows 384(24)^2 x 8(8) are the two -test- configs.
_base_ = [
    '../_base_/models/recognizer.py',
    '../_base_/datasets/kinetics400_16-320.py',
    '../_base_/schedules/adamw_30e.py',
    '../_base_/schedules/fsdp.py',
    '../_base_/runtime/video.py',
]
load_from = (
    'work_dirs/swinv2-giant-p244-w8x16x16_40xb2-bf16-fsdp-16x4x1-20e_kinetics400-rgb/epoch_20.pth'
)
model = dict(
    backbone=dict(arch='g', window_size=(8, 20, 20), drop_path_rate=0.4, init_cfg=None),
    cls_head=dict(in_channels=4096),
)
train_dataloader = dict(batch_size=2)
val_dataloader = dict(batch_size=2)
optim_wrapper = dict(optimizer=dict(lr=5e-5, weight_decay=0.1))
train_cfg = dict(max_epochs=5, val_interval=1)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, begin=0, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=5, eta_min=0, begin=0, end=5),
]
expected = [
    dict(metric='acc/top1', value=0.832, tolerance=0.003, source='Table 5, 320(20), 1 x 1 views'),
]
