# timm's copy of the official SwinV2-S, window 8 at 256 pixels, with timm's preprocessing on
# ImageNet-V2; from timm's results-imagenetv2-matched-frequency.csv.
_base_ = [
    '../../_base_/models/classifier.py',
    '../../_base_/datasets/imagenetv2_test.py',
    '../../_base_/preprocessing/timm_256.py',
    '../../_base_/runtime/classification.py',
]
load_from = 'hf://timm/swinv2_small_window8_256.ms_in1k'
model = dict(backbone=dict(arch='s'))
test_dataloader = dict(dataset=dict(pipeline=_base_.eval_pipeline))
test_cfg = dict(type='TestLoop')
expected = [
    dict(metric='acc/top1', value=0.732, tolerance=0.001, source='timm'),
]
