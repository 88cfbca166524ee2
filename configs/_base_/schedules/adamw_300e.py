# AdamW for 300 epochs at a batch of 1024: ImageNet-1K from scratch (paper, appendix A1). lr 5e-4
# per 512 images, 20 epochs of linear warm-up, cosine, weight decay 0.05, clipping at 5. Warm-up
# from 5e-7 and down to 5e-6 per 512 images, as in the official code.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=300, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='Bf16OptimWrapper',
    constructor='SwinV2OptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999), weight_decay=0.05),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, begin=0, end=20, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        T_max=280,
        eta_min_ratio=0.01,
        begin=20,
        end=300,
        convert_to_iter_based=True,
    ),
]
auto_scale_lr = dict(enable=False, base_batch_size=1024)
