# torchvision's swin_v2_b (IMAGENET1K_V1), its own training, on ImageNet-1K. torchvision pads small
# maps to whole windows, which makes no difference here: 8 divides all maps of 256 pixels.
_base_ = [
    '../../_base_/models/classifier.py',
    '../../_base_/datasets/imagenet_val.py',
    '../../_base_/preprocessing/torchvision_272.py',
    '../../_base_/runtime/classification.py',
]
load_from = 'https://download.pytorch.org/models/swin_v2_b-781e5279.pth'
model = dict(backbone=dict(arch='b'), head=dict(in_channels=1024))
test_dataloader = dict(dataset=dict(pipeline=_base_.eval_pipeline))
test_cfg = dict(type='TestLoop')
expected = [
    dict(metric='acc/top1', value=0.84112, tolerance=0.0005, source='torchvision'),
    dict(metric='acc/top5', value=0.96864, tolerance=0.0005, source='torchvision'),
]
