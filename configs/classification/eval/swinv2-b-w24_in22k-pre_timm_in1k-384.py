# timm's copy of the official SwinV2-B, pre-trained on ImageNet-22K, windows 12 to 24 and 192 to 384
# pixels, with timm's preprocessing on ImageNet-1K; from timm's results-imagenet.csv.
_base_ = [
    '../../_base_/models/classifier.py',
    '../../_base_/datasets/imagenet_val.py',
    '../../_base_/preprocessing/timm_384.py',
    '../../_base_/runtime/classification.py',
]
load_from = 'hf://timm/swinv2_base_window12to24_192to384.ms_in22k_ft_in1k'
model = dict(backbone=dict(arch='b', window_size=24), head=dict(in_channels=1024))
test_dataloader = dict(dataset=dict(pipeline=_base_.eval_pipeline))
test_cfg = dict(type='TestLoop')
expected = [
    dict(metric='acc/top1', value=0.87142, tolerance=0.0005, source='timm'),
    dict(metric='acc/top5', value=0.98228, tolerance=0.0005, source='timm'),
]
