# timm's copy of the official SwinV2-B, window 8 at 256 pixels, with timm's preprocessing on
# ImageNet-1K; from timm's results-imagenet.csv.
_base_ = [
    '../../_base_/models/classifier.py',
    '../../_base_/datasets/imagenet_val.py',
    '../../_base_/preprocessing/timm_256.py',
    '../../_base_/runtime/classification.py',
]
load_from = 'hf://timm/swinv2_base_window8_256.ms_in1k'
model = dict(backbone=dict(arch='b'), head=dict(in_channels=1024))
test_dataloader = dict(dataset=dict(pipeline=_base_.eval_pipeline))
test_cfg = dict(type='TestLoop')
expected = [
    dict(metric='acc/top1', value=0.84246, tolerance=0.0005, source='timm'),
    dict(metric='acc/top5', value=0.96902, tolerance=0.0005, source='timm'),
]
