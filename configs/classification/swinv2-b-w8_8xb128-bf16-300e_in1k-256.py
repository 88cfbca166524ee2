# SwinV2-B on ImageNet-1K from scratch with window 8 at 256 pixels (paper, Table 8, log CPB, W8
# (84.2)). Target: the released model's top-1 84.2, top-5 96.9. Recipe: appendix A1, drop path 0.5.
# Assumed: bf16 instead of fp16; the cosine begins after the warm-up.
_base_ = [
    '../_base_/models/classifier.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/adamw_300e.py',
    '../_base_/runtime/classification.py',
]
model = dict(backbone=dict(arch='b', drop_path_rate=0.5), head=dict(in_channels=1024))
expected = [
    dict(metric='acc/top1', value=0.842, tolerance=0.002, source='MODELHUB.md'),
    dict(metric='acc/top5', value=0.969, tolerance=0.002, source='MODELHUB.md'),
]
