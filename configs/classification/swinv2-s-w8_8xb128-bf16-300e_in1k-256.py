# SwinV2-S on ImageNet-1K from scratch with window 8 at 256 pixels (paper, Table 8, log CPB, W8
# (83.7)). Target: the released model's top-1 83.7, top-5 96.6. Recipe: appendix A1, drop path 0.3.
# Assumed: bf16 instead of fp16; the cosine begins after the warm-up.
_base_ = [
    '../_base_/models/classifier.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/adamw_300e.py',
    '../_base_/runtime/classification.py',
]
model = dict(backbone=dict(arch='s', drop_path_rate=0.3))
expected = [
    dict(metric='acc/top1', value=0.837, tolerance=0.002, source='MODELHUB.md'),
    dict(metric='acc/top5', value=0.966, tolerance=0.002, source='MODELHUB.md'),
]
