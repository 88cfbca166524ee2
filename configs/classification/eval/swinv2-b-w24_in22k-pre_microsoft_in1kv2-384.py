# The official SwinV2-B, pre-trained on ImageNet-22K, windows 12 to 24 and 192 to 384 pixels, on
# ImageNet-V2. Assumed: variant matched-frequency, which Table 2 and MODELHUB.md do not name, and
# preprocessing as on ImageNet-1K.
_base_ = [
    '../../_base_/models/classifier.py',
    '../../_base_/datasets/imagenetv2_test.py',
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
    dict(metric='acc/top1', value=0.7808, tolerance=0.002, source='Table 2 and MODELHUB.md'),
]
