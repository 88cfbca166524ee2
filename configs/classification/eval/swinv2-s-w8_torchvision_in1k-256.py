# torchvision's swin_v2_s (IMAGENET1K_V1), its own training, on ImageNet-1K. torchvision pads small
# maps to whole windows, which makes no difference here: 8 divides all maps of 256 pixels.
_base_ = [
    '../../_base_/models/classifier.py',
    '../../_base_/datasets/imagenet_val.py',
    '../../_base_/preprocessing/torchvision_260.py',
    '../../_base_/runtime/classification.py',
]
load_from = 'https://download.pytorch.org/models/swin_v2_s-637d8ceb.pth'
model = dict(backbone=dict(arch='s'))
test_dataloader = dict(dataset=dict(pipeline=_base_.eval_pipeline))
test_cfg = dict(type='TestLoop')
expected = [
    dict(metric='acc/top1', value=0.83712, tolerance=0.0005, source='torchvision'),
    dict(metric='acc/top5', value=0.96816, tolerance=0.0005, source='torchvision'),
]
