# The official SwinV2-L, pre-trained on ImageNet-22K, windows 12 to 16 and 192 to 256 pixels, on
# ImageNet-1K. MODELHUB.md of the official code rounds to 0.1; mmpretrain measured the same weights
# with the same preprocessing. The copies of transformers and mmpretrain are tested with this
# config, too.
_base_ = [
    '../../_base_/models/classifier.py',
    '../../_base_/datasets/imagenet_val.py',
    '../../_base_/preprocessing/microsoft_256.py',
    '../../_base_/runtime/classification.py',
]
load_from = (
    'https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
    'swinv2_large_patch4_window12to16_192to256_22kto1k_ft.pth'
)
model = dict(backbone=dict(arch='l', window_size=16), head=dict(in_channels=1536))
test_dataloader = dict(dataset=dict(pipeline=_base_.eval_pipeline))
test_cfg = dict(type='TestLoop')
expected = [
    dict(metric='acc/top1', value=0.869, tolerance=0.001, source='MODELHUB.md'),
    dict(metric='acc/top5', value=0.98, tolerance=0.001, source='MODELHUB.md'),
    dict(metric='acc/top1', value=0.8693, tolerance=0.0005, source='mmpretrain'),
]
