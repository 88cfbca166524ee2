# SwinV2-L on ImageNet-22K with window 12 at 192 pixels (paper, appendix A2.1). Its weights are
# released; the paper gives no accuracy on 22K. Drop path 0.2. Assumed: bf16 instead of fp16; the
# cosine begins after the warm-up; the official code's augmentation for ImageNet-1K; 21841 classes,
# those of the released heads.
_base_ = [
    '../_base_/models/classifier.py',
    '../_base_/datasets/imagenet22k_192.py',
    '../_base_/schedules/adamw_90e_22k.py',
    '../_base_/runtime/classification.py',
]
model = dict(
    backbone=dict(arch='l', window_size=12),
    head=dict(num_classes=21841, in_channels=1536),
)
