# mmaction2's runtime; saves a checkpoint per epoch, and keeps the last three and the best.
_base_ = 'mmaction::_base_/default_runtime.py'
default_hooks = dict(
    logger=dict(interval=100),
    checkpoint=dict(interval=1, max_keep_ckpts=3, save_best='acc/top1'),
)
