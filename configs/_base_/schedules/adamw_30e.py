# AdamW for 30 epochs at a batch of 64: Video Swin's recipe in mmaction2 (arXiv 2106.13230; lr 1e-3,
# a tenth of it for the backbone, 2.5 epochs of linear warm-up, cosine to zero).
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=30, val_begin=1, val_interval=3)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='Bf16OptimWrapper',
    constructor='SwinV2OptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999), weight_decay=0.02),
    paramwise_cfg=dict(backbone_lr_mult=0.1),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, begin=0, end=2.5, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=30, eta_min=0, begin=0, end=30),
]
auto_scale_lr = dict(enable=False, base_batch_size=64)
