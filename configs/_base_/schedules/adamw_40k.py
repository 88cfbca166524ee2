# AdamW for 40,000 iterations at a batch of 64: SwinV2-L's fine-tuning for segmentation (appendix
# A2.1), 375 iterations of linear warm-up and linear decay to zero. Assumed, because the paper does
# not specify it: no layer decay, no gradient clipping, warm-up from 1e-6 times the learning rate.
_base_ = './adamw_160k.py'
train_cfg = dict(max_iters=40000, val_interval=4000)
optim_wrapper = dict(optimizer=dict(lr=6e-5), paramwise_cfg=dict(layer_decay=1.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=375),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=375, end=40000),
]
default_hooks = dict(checkpoint=dict(interval=4000))
auto_scale_lr = dict(base_batch_size=64)
