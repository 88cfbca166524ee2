# SwinV2-T on ImageNet-1K from scratch with window 8 at 256 pixels (paper, Table 1, log CPB, W8
# (81.8)). Target: the released model's top-1 81.8, top-5 95.9. Recipe: appendix A1, drop path 0.2.
# Assumed: bf16 instead of fp16; the cosine begins after the warm-up.
_base_ = [
    '../_base_/models/classifier.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/adamw_300e.py',
    '../_base_/runtime/classification.py',
]
expected = [
    dict(metric='acc/top1', value=0.818, tolerance=0.002, source='MODELHUB.md'),
    dict(metric='acc/top5', value=0.959, tolerance=0.002, source='MODELHUB.md'),
]
