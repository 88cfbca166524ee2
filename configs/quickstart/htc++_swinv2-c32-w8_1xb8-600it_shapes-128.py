# The quickstart: a small SwinV2 with an HTC detector learns generated shapes from scratch.
# Measured on 2 CPU cores with seed 0: box AP50 0.71, mask AP50 0.68 after 600 iterations, in less
# than 10 minutes with evaluation. The learning rate stays high for half of them: with a cosine from
# the start, 600 iterations end at 0.49.
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
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, end=30, by_epoch=False),
    dict(type='CosineAnnealingLR', begin=max_iters // 2, T_max=max_iters // 2, by_epoch=False),
]
default_hooks = dict(
    logger=dict(interval=25, log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=max_iters),
)
log_processor = dict(by_epoch=False)
