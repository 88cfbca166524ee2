"""The best checkpoint, and the end of a training that no longer improves."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import HOOKS

from swinv2_dense.errors import ConfigError
from swinv2_dense.training.early_stopping import keep_best, stop_early


def runner(name: str) -> SimpleNamespace:
    return SimpleNamespace(
        train_loop=SimpleNamespace(stop_training=False),
        message_hub=MessageHub.get_instance(name),
        logger=MMLogger.get_instance(name),
    )


def stopped_after(scores: list[float], patience: int, restart: int | None = None) -> int | None:
    """The number of validations until training stops, perhaps resumed after some."""
    run = runner(f'{scores}{patience}{restart}')
    build = dict(type='MainMetricStoppingHook', patience=patience)
    hook = HOOKS.build(dict(build))
    hook.before_train(run)
    for index, score in enumerate(scores):
        if index == restart:
            hook = HOOKS.build(dict(build))
            hook.before_train(run)
        # mmdet lists the AP of classes, which is not the main metric, first
        hook.after_val_epoch(run, {'coco/a_precision': 1.0 - index, 'coco/bbox_mAP': score})
        if run.train_loop.stop_training:
            return index + 1
    return None


@pytest.mark.parametrize('restart', [None, 2, 3])
def test_it_stops_after_validations_without_improvement(restart):
    """Small improvements count: mmengine's default needs 0.1, a third of a usual AP."""
    assert stopped_after([0.1, 0.2, 0.201, 0.202, 0.203], 2, restart) is None
    assert stopped_after([0.1, 0.2, 0.15, 0.2, 0.19, 0.3], 3, restart) == 5
    assert stopped_after([0.0] * 6, 4, restart) == 5
    assert stopped_after([0.1, 0.05, 0.2, 0.1, 0.15, 0.1], 3, restart) == 6


def test_flags_change_the_config():
    cfg = Config(dict(val_cfg=dict(), val_dataloader=dict(a=1), custom_hooks=[dict(type='X')]))
    cfg.val_cfg = dict(type='ValLoop')
    keep_best(cfg)
    assert cfg.default_hooks.checkpoint.save_best == 'auto'
    stop_early(cfg, 3)
    assert [hook.type for hook in cfg.custom_hooks] == ['X', 'MainMetricStoppingHook']
    stop_early(cfg, 5)  # the config that was saved, with the flag again
    assert [hook.type for hook in cfg.custom_hooks] == ['X', 'MainMetricStoppingHook']
    assert cfg.custom_hooks[1].patience == 5
    given = Config(dict(default_hooks=dict(checkpoint=dict(save_best='coco/segm_mAP'))))
    keep_best(given)
    assert given.default_hooks.checkpoint.save_best == 'coco/segm_mAP'
    with pytest.raises(ConfigError, match='--early-stop=3 needs a validation'):
        stop_early(given, 3)
