"""Keep the best checkpoint and stop when the main metric no longer improves."""

from __future__ import annotations

from typing import Any

from mmengine.config import Config
from mmengine.hooks import EarlyStoppingHook
from mmengine.registry import HOOKS

from ..checks.main_metric import main_metric
from ..config_parts import set_custom_hook
from ..errors import ConfigError

STATE = 'early_stopping'  # in the message hub, so that checkpoints contain it
LEAST = 1e-6  # improvement; mmengine's default of 0.1 is a third of a usual AP


@HOOKS.register_module()
class MainMetricStoppingHook(EarlyStoppingHook):
    """Stop after `patience` validations in a row without a better mAP, mIoU or top-1.

    The metric is chosen as for the best checkpoint, see `main_metric`, and greater is better. A
    resumed run continues to count.
    """

    def __init__(self, patience: int, min_delta: float = LEAST) -> None:
        super().__init__(monitor='', rule='greater', min_delta=min_delta, patience=patience)

    def before_train(self, runner: Any) -> None:
        state = runner.message_hub.runtime_info.get(STATE)
        if state is not None:
            self.best_score, self.wait_count = state

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Compare the main metric with the best so far."""
        name = main_metric(metrics or {})
        if name is None:
            return
        self.monitor = name
        super().after_val_epoch(runner, metrics)
        runner.message_hub.update_info(STATE, [float(self.best_score), int(self.wait_count)])


def keep_best(cfg: Config) -> None:
    """Also save the checkpoint with the best main metric, for `train.py --save-best`."""
    hooks = dict(cfg.get('default_hooks') or {})
    checkpoint = dict(hooks.get('checkpoint') or dict(type='CheckpointHook'))
    if not checkpoint.get('save_best'):
        hooks['checkpoint'] = {'rule': 'greater', **checkpoint, 'save_best': 'auto'}
        cfg.default_hooks = hooks


def stop_early(cfg: Config, patience: int) -> None:
    """Add `MainMetricStoppingHook`, for `train.py --early-stop N`.

    Raises:
        ConfigError: Nothing is validated.
    """
    if not cfg.get('val_cfg') or not cfg.get('val_dataloader'):
        raise ConfigError(f'--early-stop={patience} needs a validation: remove --no-validate')
    set_custom_hook(cfg, dict(type='MainMetricStoppingHook', patience=patience))
