# Table 4, SwinV2-L at 640(40), multi-scale, on 4 GPUs: gradients of 8 passes with 4 x 2
# images each are accumulated to the batch of 64. An iteration is one pass, so 40,000 steps are
# 320,000 iterations, and 375 steps of warm-up are 3000. Group norm, because batch norm would see
# only one pass; otherwise the paper's recipe.
_base_ = './upernet_swinv2-l-w40_32xb2-40k_ade20k-640x640.py'
parts = 8
norm_cfg = dict(_delete_=True, type='GN', num_groups=32)
model = dict(decode_head=dict(norm_cfg=norm_cfg), auxiliary_head=dict(norm_cfg=norm_cfg))
optim_wrapper = dict(type='Bf16OptimWrapper', accumulative_counts=parts)
train_cfg = dict(max_iters=40000 * parts, val_interval=4000 * parts)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, end=375 * parts),
    dict(type='PolyLR', power=1.0, by_epoch=False, begin=375 * parts, end=40000 * parts),
]
default_hooks = dict(checkpoint=dict(interval=4000 * parts))
