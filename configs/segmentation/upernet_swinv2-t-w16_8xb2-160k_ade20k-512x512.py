# Table 1, log-CPB, ADE20K W16 (SwinV2-T, ImageNet-1K weights of window 8 at 256 pixels).
# Appendix A1: 512 x 512, window 16, AdamW with lr 4e-5 and weight decay 0.05, layer decay 0.95,
# linear decay after 1500 iterations of warm-up, batch 16, 160K iterations, drop path 0.3, flips,
# random scale 0.5 to 2.0, photometric distortion.
# Assumed, because the paper does not specify it: UperNet and its heads as in Swin V1's segmentation
# code; tests on whole images at a short side of 512 and a single scale.
_base_ = [
    '../_base_/models/upernet.py',
    'mmseg::_base_/datasets/ade20k.py',
    '../_base_/schedules/adamw_160k.py',
    '../_base_/runtime/segmentation.py',
]
model = dict(
    backbone=dict(
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_tiny_patch4_window8_256.pth'
        ),
    )
)
train_dataloader = dict(batch_size=2)
expected = [
    dict(metric='mIoU', value=47.0, tolerance=0.5, source='Table 1, log-CPB, ADE20K W16'),
]
