# AdamW for 45,000 iterations at a batch of 96 (appendix A2.2). Assumed, because the paper does not
# specify it: warm-up of 1000 iterations, steps at 27/36 and 33/36 as in a 3x schedule, 0.1 times
# the heads' learning rate for the backbone as for SwinV2-L, no layer decay, no clipping, bf16.
train_cfg = dict(type='IterBasedTrainLoop', max_iters=45000, val_interval=5000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='Bf16OptimWrapper',
    constructor='SwinV2OptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=6e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(backbone_lr_mult=0.1),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', end=45000, by_epoch=False, milestones=[33750, 41250], gamma=0.1),
]
auto_scale_lr = dict(enable=False, base_batch_size=96)
