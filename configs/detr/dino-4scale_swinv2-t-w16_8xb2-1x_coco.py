# DINO with 4 scales on SwinV2-T, window 16, for 12 epochs. Not in the paper. The number to beat
# is 51.3 AP, of Swin V1-T (detrex). Backbone at 0.1 times the learning rate; for layer decay
# instead: optim_wrapper.paramwise_cfg=dict(backbone_lr_mult=1.0, layer_decay=0.9). Assumed: drop
# path 0.2, mmdet's 900 queries.
_base_ = '../_base_/models/dino.py'
train_dataloader = dict(batch_size=2)
