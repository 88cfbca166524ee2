# Video quickstart: a small VideoSwinTransformerV2 learns generated motions from scratch. Measured
# in 15 runs (tools/quickstart_spread.py: seeds 0 to 4, ATEN_CPU_CAPABILITY default, avx2 and
# AVX-512): top-1 0.983 to 1.000 forwards, 0.975 to 1.000 backwards, 0.188 to 0.375 shuffled.
_base_ = [
    '../_base_/models/recognizer_small.py',
    '../_base_/datasets/motions.py',
    '../_base_/runtime/video.py',
]
max_iters = 400
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=100)
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
    checkpoint=dict(by_epoch=False, interval=max_iters, save_best=None, max_keep_ckpts=1),
)
log_processor = dict(by_epoch=False)
expected = [  # the goals of tools/quickstart.py
    dict(metric='acc/top1', at_least=0.9, source='quickstart'),
]
