# The official SwinV2-S, window 8 at 256 pixels, on ImageNet-1K. MODELHUB.md of the official code
# rounds to 0.1; mmpretrain measured the same weights with the same preprocessing. The copies of
# transformers and mmpretrain are tested with this config, too.
_base_ = [
    '../../_base_/models/classifier.py',
    '../../_base_/datasets/imagenet_val.py',
    '../../_base_/preprocessing/microsoft_256.py',
    '../../_base_/runtime/classification.py',
]
load_from = (
    'https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
    'swinv2_small_patch4_window8_256.pth'
)
model = dict(backbone=dict(arch='s'))
test_dataloader = dict(dataset=dict(pipeline=_base_.eval_pipeline))
test_cfg = dict(type='TestLoop')
expected = [
    dict(metric='acc/top1', value=0.837, tolerance=0.001, source='MODELHUB.md'),
    dict(metric='acc/top5', value=0.966, tolerance=0.001, source='MODELHUB.md'),
    dict(metric='acc/top1', value=0.8374, tolerance=0.0005, source='mmpretrain'),
]
