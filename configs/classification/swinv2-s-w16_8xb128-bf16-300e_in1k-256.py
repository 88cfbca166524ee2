# SwinV2-S on ImageNet-1K from scratch with window 16 at 256 pixels (not in the paper: a model of
# the official code). Target: the released model's top-1 84.1, top-5 96.8. Recipe: appendix A1, drop
# path 0.3. The last stage has 8 x 8 patches, and its window is clamped to them. Assumed: bf16
# instead of fp16; the cosine begins after the warm-up.
_base_ = [
    '../_base_/models/classifier.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/adamw_300e.py',
    '../_base_/runtime/classification.py',
]
model = dict(backbone=dict(arch='s', window_size=16, drop_path_rate=0.3))
expected = [
    dict(metric='acc/top1', value=0.841, tolerance=0.002, source='MODELHUB.md'),
    dict(metric='acc/top5', value=0.968, tolerance=0.002, source='MODELHUB.md'),
]
