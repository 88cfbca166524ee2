# AdamW for 800 epochs at a batch of 2048: SimMIM's official schedule. Learning rate 1e-4 per 512
# images, 10 epochs of linear warm-up from 5e-7 per 512 images, a tenth of it from epoch 700,
# clipping at 5. In contrast to the official run, the log-CPB MLP and the logit scale are not
# decayed: there, the names of these parameters never match, and only fine-tuning exempts them.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=800, val_interval=20)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='Bf16OptimWrapper',
    constructor='SwinV2OptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=4e-4, betas=(0.9, 0.999), weight_decay=0.05),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.005, begin=0, end=10, convert_to_iter_based=True),
    dict(type='MultiStepLR', begin=0, end=800, by_epoch=True, milestones=[700], gamma=0.1),
]
auto_scale_lr = dict(enable=False, base_batch_size=2048)
