# AdamW for 100 epochs at a batch of 2048: fine-tuning after SimMIM, as in the official code. lr
# 1.25e-3 per 512 images, layer decay 0.75, 20 epochs of linear warm-up from 2.5e-7 per 512 images,
# cosine down to the same, weight decay 0.05, clipping at 5. Both ends are shares of the lr of each
# layer here; in the official code they are the same for all layers.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=100, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='Bf16OptimWrapper',
    constructor='SwinV2OptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=5e-3, betas=(0.9, 0.999), weight_decay=0.05),
    clip_grad=dict(max_norm=5.0),
    paramwise_cfg=dict(layer_decay=0.75),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=2e-4, begin=0, end=20, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        T_max=80,
        eta_min_ratio=2e-4,
        begin=20,
        end=100,
        convert_to_iter_based=True,
    ),
]
auto_scale_lr = dict(enable=False, base_batch_size=2048)
