# SwinV2-L with ImageNet-22K weights on Kinetics-400 with mmaction2's recipe for Video Swin's L; not
# in the SwinV2 paper. AdamW with lr 1e-3, a tenth of it for the backbone, weight decay 0.05, drop
# path 0.4, batch 64, 30 epochs; 32 frames, tested on 4 x 3 views.
# Assumed: 256 pixels and window (8, 16, 16), to which log-CPB extrapolates from the weights' 12;
# bf16.
_base_ = [
    '../_base_/models/recognizer.py',
    '../_base_/datasets/kinetics400.py',
    '../_base_/schedules/adamw_30e.py',
    '../_base_/runtime/video.py',
]
model = dict(
    backbone=dict(
        arch='l',
        window_size=(8, 16, 16),
        drop_path_rate=0.4,
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_large_patch4_window12_192_22k.pth'
        ),
    ),
    cls_head=dict(in_channels=1536),
)
optim_wrapper = dict(optimizer=dict(weight_decay=0.05))
