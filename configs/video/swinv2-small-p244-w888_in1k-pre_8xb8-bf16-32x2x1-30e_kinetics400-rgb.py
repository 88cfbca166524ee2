# SwinV2-S on Kinetics-400 with Video Swin's recipe for S (arXiv 2106.13230, as in mmaction2); not
# in the SwinV2 paper. As SwinV2-T, with drop path 0.2 (0.1 in Video Swin's own code). Assumed:
# SwinV2's 256 pixels and window (8, 8, 8) instead of V1's 224 and (8, 7, 7); bf16.
_base_ = [
    '../_base_/models/recognizer.py',
    '../_base_/datasets/kinetics400.py',
    '../_base_/schedules/adamw_30e.py',
    '../_base_/runtime/video.py',
]
model = dict(
    backbone=dict(
        arch='s',
        drop_path_rate=0.2,
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_small_patch4_window8_256.pth'
        ),
    )
)
