# adamw_45000it for 67,500 iterations, with the learning rate of the Objects365 stage (appendix
# A2.2).
_base_ = './adamw_45000it.py'
train_cfg = dict(max_iters=67500, val_interval=7500)
optim_wrapper = dict(optimizer=dict(lr=1.2e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', end=67500, by_epoch=False, milestones=[50625, 61875], gamma=0.1),
]
