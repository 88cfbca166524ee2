# timm's copy of the official SwinV2-S, window 16 at 256 pixels, with timm's preprocessing on
# ImageNet-1K; from timm's results-imagenet.csv.
_base_ = [
    '../../_base_/models/classifier.py',
    '../../_base_/datasets/imagenet_val.py',
    '../../_base_/preprocessing/timm_256.py',
    '../../_base_/runtime/classification.py',
]
load_from = 'hf://timm/swinv2_small_window16_256.ms_in1k'
model = dict(backbone=dict(arch='s', window_size=16))
test_dataloader = dict(dataset=dict(pipeline=_base_.eval_pipeline))
test_cfg = dict(type='TestLoop')
expected = [
    dict(metric='acc/top1', value=0.84216, tolerance=0.0005, source='timm'),
    dict(metric='acc/top5', value=0.96874, tolerance=0.0005, source='timm'),
]
