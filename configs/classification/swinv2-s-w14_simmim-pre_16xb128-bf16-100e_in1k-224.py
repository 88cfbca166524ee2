# SwinV2-S on ImageNet-1K at 224 pixels and window 14, pre-trained by SimMIM on ImageNet-1K at 192
# pixels and window 12 for 500k steps; not in the paper. Target: SimMIM's top-1 84.08. The
# pretrained windows, 12, 12, 12, 6, come with the weights. Layer decay 0.75, drop path 0.1.
# Assumed: bf16 instead of fp16; the cosine begins after the warm-up; for S and L the official
# recipe of B.
_base_ = [
    '../_base_/models/classifier.py',
    '../_base_/datasets/imagenet_224.py',
    '../_base_/schedules/adamw_100e_simmim.py',
    '../_base_/runtime/classification.py',
]
model = dict(
    backbone=dict(
        arch='s',
        window_size=14,
        drop_path_rate=0.1,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='hf://zdaxie/SimMIM/simmim_swinv2_pretrain_models/swinv2_small_1k_500k.pth',
        ),
    ),
)
expected = [
    dict(metric='acc/top1', value=0.8408, tolerance=0.002, source='MODELHUB.md'),
]
