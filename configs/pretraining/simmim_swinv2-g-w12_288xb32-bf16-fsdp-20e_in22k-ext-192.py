# SimMIM on SwinV2-G, the first of its two stages of pre-training (appendix A2.2): 192 x 192, 70
# million images, AdamW with lr 1.4e-3 and weight decay 0.1, batch 9216, 20 epochs with cosine decay
# after 30,000 steps of warm-up, clipping at 100; crops of area 0.67 to 1 and ratio 3/4 to 4/3,
# flips. The second stage trains a classifier on labels. Neither data nor weights were released:
# put your images in data/imagenet22k-ext.
# Assumed, because the paper does not specify it: window 12, mask ratio 0.6 in units of 32 pixels
# and drop path 0.1 as for SwinV2-B, warm-up from 0.005 times the lr, decay to 0; bf16.
_base_ = [
    '../_base_/models/simmim.py',
    '../_base_/datasets/own_unlabeled.py',
    '../_base_/schedules/adamw_800e.py',
    '../_base_/schedules/fsdp.py',
    '../_base_/runtime/pretraining.py',
]
model = dict(backbone=dict(arch='g'))
data_root = 'data/imagenet22k-ext/'
train_dataloader = dict(batch_size=32, dataset=dict(data_root=data_root))
val_dataloader = dict(batch_size=32, dataset=dict(data_root=data_root, held_out=0.0005))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=1.4e-3, weight_decay=0.1), clip_grad=dict(max_norm=100.0))
train_cfg = dict(max_epochs=20, val_interval=1)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.005, begin=0, end=30000, by_epoch=False),
    dict(type='CosineAnnealingLR', T_max=20, begin=0, end=20, convert_to_iter_based=True),
]
default_hooks = dict(checkpoint=dict(interval=1))
auto_scale_lr = dict(base_batch_size=9216)
