# The official SwinV2-B, pre-trained on ImageNet-22K, windows 12 to 24 and 192 to 384 pixels, on
# ImageNet-1K. MODELHUB.md of the official code rounds to 0.1; mmpretrain measured the same weights
# with the same preprocessing. The copies of transformers and mmpretrain are tested with this
# config, too.
_base_ = [
    '../../_base_/models/classifier.py',
    '../../_base_/datasets/imagenet_val.py',
    '../../_base_/preprocessing/microsoft_384.py',
    '../../_base_/runtime/classification.py',
]
load_from = (
    'https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
    'swinv2_base_patch4_window12to24_192to384_22kto1k_ft.pth'
)
model = dict(backbone=dict(arch='b', window_size=24), head=dict(in_channels=1024))
test_dataloader = dict(dataset=dict(pipeline=_base_.eval_pipeline))
test_cfg = dict(type='TestLoop')
expected = [
    dict(metric='acc/top1', value=0.871, tolerance=0.001, source='MODELHUB.md'),
    dict(metric='acc/top5', value=0.982, tolerance=0.001, source='MODELHUB.md'),
    dict(metric='acc/top1', value=0.8714, tolerance=0.0005, source='mmpretrain'),
]
