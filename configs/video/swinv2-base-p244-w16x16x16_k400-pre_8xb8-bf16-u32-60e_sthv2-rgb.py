# SwinV2-B, pre-trained on Kinetics-400, on Something-Something v2 with Video Swin's recipe (arXiv
# 2106.13230); not in the SwinV2 paper. AdamW with lr 3e-4, a tenth of it for the backbone, weight
# decay 0.05, drop path 0.4, label smoothing 0.1, batch 64, 60 epochs; 32 frames over the whole
# video, RandAugment, random erasing; tested on 1 x 3 views.
# Assumed: 256 pixels and window (16, 16, 16), to which log-CPB extrapolates from (8, 16, 16) (V1:
# (8, 7, 7) to (16, 7, 7)); bf16.
_base_ = [
    '../_base_/models/recognizer.py',
    '../_base_/datasets/sthv2.py',
    '../_base_/schedules/adamw_30e.py',
    '../_base_/runtime/video.py',
]
load_from = (
    'work_dirs/swinv2-base-p244-w8x16x16_in22k-pre_8xb8-bf16-32x2x1-30e_kinetics400-rgb/'
    'epoch_30.pth'
)
model = dict(
    backbone=dict(arch='b', window_size=(16, 16, 16), drop_path_rate=0.4, init_cfg=None),
    cls_head=dict(in_channels=1024, num_classes=174, label_smooth_eps=0.1),
)
optim_wrapper = dict(optimizer=dict(lr=3e-4, weight_decay=0.05))
train_cfg = dict(max_epochs=60)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, begin=0, end=2.5, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=60, eta_min=0, begin=0, end=60),
]
