# Pre-training quickstart, without pre-training: UperNet learns from the labels of 8 images.
# Measured in 5 runs (seeds 0 to 4): mIoU 0.802 to 0.877.
_base_ = './upernet_swinv2-c32-w8_1xb8-200it_surfaces-128.py'
data_root = 'data/surfaces-64/'
small = dict(data_root=data_root)
train_dataloader = dict(dataset=dict(**small, indices=8))
val_dataloader = dict(batch_size=20, dataset=small)
test_dataloader = val_dataloader
model = dict(
    data_preprocessor=dict(size=(64, 64)),
    # That of simmim_small.py
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=32, depths=(2, 2, 2), num_heads=(1, 2, 4)),
        out_indices=(0, 1, 2),
    ),
    decode_head=dict(in_channels=[32, 64, 128], in_index=[0, 1, 2]),
)
max_iters = 160
train_cfg = dict(max_iters=max_iters, val_interval=40)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, end=25, by_epoch=False),
    dict(type='CosineAnnealingLR', begin=25, T_max=max_iters - 25, by_epoch=False),
]
default_hooks = dict(checkpoint=dict(interval=max_iters))
