# mmaction2's runtime; a checkpoint per epoch, the last three and the best are kept.
_base_ = 'mmaction::_base_/default_runtime.py'
default_hooks = dict(
    logger=dict(interval=100),
    checkpoint=dict(interval=1, max_keep_ckpts=3, save_best='acc/top1'),
)
