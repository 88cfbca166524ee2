_base_ = [
    '../_base_/models/htc_small.py',
    '../_base_/datasets/shapes_instance.py',
    'mmdet::_base_/default_runtime.py',
]
max_iters = 600
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=150)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.0),
    clip_grad=dict(max_norm=5.0),
)
warmup = 30
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, end=warmup, by_epoch=False),
    dict(type='CosineAnnealingLR', begin=warmup, T_max=max_iters - warmup, by_epoch=False),
]
default_hooks = dict(
    logger=dict(interval=25),
    checkpoint=dict(by_epoch=False, interval=max_iters),
)
log_processor = dict(by_epoch=False)
