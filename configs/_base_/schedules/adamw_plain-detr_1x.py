# AdamW of Plain-DETR's released code: 12 epochs at a batch of 16, a linear warm-up of 1000
# iterations, a drop by 10 after 11 epochs, backbone at 0.1 times the learning rate.
_base_ = './adamw_detr_1x.py'
optim_wrapper = dict(optimizer=dict(lr=2e-4, weight_decay=0.05))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', begin=0, end=12, by_epoch=True, milestones=[11], gamma=0.1),
]
