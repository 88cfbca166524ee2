# SwinV2-B on Kinetics-400 with Video Swin's recipe for B (arXiv 2106.13230, as in mmaction2); not
# in the SwinV2 paper. As SwinV2-T, with weight decay 0.05 and drop path 0.3.
# Assumed: SwinV2's 256 pixels and window (8, 8, 8) instead of V1's 224 and (8, 7, 7); bf16.
_base_ = [
    '../_base_/models/recognizer.py',
    '../_base_/datasets/kinetics400.py',
    '../_base_/schedules/adamw_30e.py',
    '../_base_/runtime/video.py',
]
model = dict(
    backbone=dict(
        arch='b',
        drop_path_rate=0.3,
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_base_patch4_window8_256.pth'
        ),
    ),
    cls_head=dict(in_channels=1024),
)
optim_wrapper = dict(optimizer=dict(weight_decay=0.05))
