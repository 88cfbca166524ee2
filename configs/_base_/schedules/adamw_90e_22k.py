# AdamW for 90 epochs at a batch of 4096: ImageNet-22K (paper, appendix A2.1). lr 1.25e-4 per 512
# images, 5 epochs of linear warm-up, cosine, weight decay 0.1, clipping at 5. Assumed: warm-up from
# 1/1000 of the lr and down to 1/100, the official code's shares for ImageNet-1K.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=90, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='Bf16OptimWrapper',
    constructor='SwinV2OptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999), weight_decay=0.1),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, begin=0, end=5, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        T_max=85,
        eta_min_ratio=0.01,
        begin=5,
        end=90,
        convert_to_iter_based=True,
    ),
]
auto_scale_lr = dict(enable=False, base_batch_size=4096)
