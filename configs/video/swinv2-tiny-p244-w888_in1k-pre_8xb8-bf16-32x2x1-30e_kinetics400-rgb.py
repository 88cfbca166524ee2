# SwinV2-T on Kinetics-400 with Video Swin's recipe for T (arXiv 2106.13230, as in mmaction2); not
# in the SwinV2 paper. AdamW with lr 1e-3, a tenth of it for the backbone, weight decay 0.02, drop
# path 0.1, batch 64, 30 epochs; 32 frames, tested on 4 x 3 views.
# Assumed: SwinV2's 256 pixels and window (8, 8, 8) instead of V1's 224 and (8, 7, 7); bf16.
_base_ = [
    '../_base_/models/recognizer.py',
    '../_base_/datasets/kinetics400.py',
    '../_base_/schedules/adamw_30e.py',
    '../_base_/runtime/video.py',
]
