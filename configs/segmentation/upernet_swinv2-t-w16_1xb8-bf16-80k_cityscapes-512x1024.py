# UperNet with SwinV2-T, window 16, on Cityscapes with crops of 512 x 1024 for one GPU. Not in the
# paper: mmseg's data and usual batch of 8 for 80K iterations, with the optimizer of the paper's
# ablation (appendix A1). Tested on whole images, at 1024 x 2048.
_base_ = [
    '../_base_/models/upernet.py',
    'mmseg::_base_/datasets/cityscapes.py',
    '../_base_/schedules/adamw_160k.py',
    '../_base_/runtime/segmentation.py',
]
model = dict(
    data_preprocessor=dict(size=(512, 1024)),
    backbone=dict(with_cp=True),
    decode_head=dict(num_classes=19),
    auxiliary_head=dict(num_classes=19),
)
train_dataloader = dict(batch_size=8, num_workers=8)
optim_wrapper = dict(type='Bf16OptimWrapper')
train_cfg = dict(max_iters=80000, val_interval=8000)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=1500, end=80000),
]
default_hooks = dict(checkpoint=dict(interval=8000))
auto_scale_lr = dict(base_batch_size=8)
