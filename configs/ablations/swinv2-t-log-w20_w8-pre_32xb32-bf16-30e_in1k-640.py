# Table 1, log CPB, W20 at 640 pixels: top-1 80.4 without fine-tuning, 84.0 with it. Recipe:
# appendix A1, fine-tuning. For the number without fine-tuning, test the checkpoint of window 8
# with this config. Assumed: batch 1024, 5 epochs of warm-up, augmentation, mixing and tests as in
# the official fine-tuning at 384 pixels; drop path 0.2; bf16.
_base_ = [
    '../_base_/models/classifier.py',
    '../_base_/datasets/imagenet_640.py',
    '../_base_/schedules/adamw_30e_22kto1k.py',
    '../_base_/runtime/classification.py',
]
model = dict(
    init_cfg=dict(
        type='Pretrained',
        checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
        'swinv2_tiny_patch4_window8_256.pth',
    ),
    backbone=dict(window_size=20),
)
expected = [dict(metric='acc/top1', value=0.840, tolerance=0.002, source='paper')]
