# Detection quickstart: a small SwinV2 with HTC++ learns generated shapes from scratch. Measured in
# 15 runs (tools/quickstart_spread.py: seeds 0 to 4, ATEN_CPU_CAPABILITY default, avx2 and AVX-512):
# box AP50 0.744 to 0.836, mask AP50 0.714 to 0.806 after 600 iterations. An iteration takes 0.5 s
# on one core, so the whole run takes about 10 minutes, evaluation included. The learning rate stays
# high for half of it, because AP rises late: after 300 iterations it is half of the final AP.
_base_ = [
    '../_base_/models/htc++_small.py',
    '../_base_/datasets/shapes_instance.py',
    'mmdet::_base_/default_runtime.py',
]
max_iters = 600
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=150)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.0),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, end=30, by_epoch=False),
    dict(type='CosineAnnealingLR', begin=max_iters // 2, T_max=max_iters // 2, by_epoch=False),
]
default_hooks = dict(
    logger=dict(interval=25, log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=max_iters),
)
log_processor = dict(by_epoch=False)
expected = [  # the goals of tools/quickstart.py
    dict(metric='coco/bbox_mAP_50', at_least=0.6, source='quickstart'),
    dict(metric='coco/segm_mAP_50', at_least=0.6, source='quickstart'),
]
