# timm's copy of the official SwinV2-L, pre-trained on ImageNet-22K, windows 12 to 16 and 192 to 256
# pixels, with timm's preprocessing on ImageNet-V2; from timm's
# results-imagenetv2-matched-frequency.csv.
_base_ = [
    '../../_base_/models/classifier.py',
    '../../_base_/datasets/imagenetv2_test.py',
    '../../_base_/preprocessing/timm_256.py',
    '../../_base_/runtime/classification.py',
]
load_from = 'hf://timm/swinv2_large_window12to16_192to256.ms_in22k_ft_in1k'
model = dict(backbone=dict(arch='l', window_size=16), head=dict(in_channels=1536))
test_dataloader = dict(dataset=dict(pipeline=_base_.eval_pipeline))
test_cfg = dict(type='TestLoop')
expected = [
    dict(metric='acc/top1', value=0.7791, tolerance=0.001, source='timm'),
]
