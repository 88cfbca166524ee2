# AdamW for 80,000 iterations at a batch of 32: SwinV2-G's fine-tuning for segmentation (appendix
# A2.2), 750 iterations of linear warm-up and linear decay to zero. Assumed, because the paper does
# not specify it: no layer decay, no gradient clipping, warm-up from 1e-6 times the learning rate.
_base_ = './adamw_160k.py'
train_cfg = dict(max_iters=80000, val_interval=8000)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay=1.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=750),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=750, end=80000),
]
default_hooks = dict(checkpoint=dict(interval=8000))
auto_scale_lr = dict(base_batch_size=32)
