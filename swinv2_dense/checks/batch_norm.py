"""Find batch norm over a single value per channel, whose variance is undefined."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..errors import ConfigError

POOLS = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
POOLS += (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d)


@HOOKS.register_module()
class CheckBatchNormHook(Hook):
    """Find batch norm layers on which a batch of one sample would crash the training.

    Raises:
        ConfigError: There are such a batch and such a layer; names the layer.
    """

    def before_train(self, runner: Any) -> None:
        loop = runner.train_loop
        endless = getattr(loop.dataloader.batch_sampler, 'endless', False)
        if smallest_batch(loop.dataloader, endless) != 1:
            return
        for name in norms_of_one_value(runner.model):
            raise ConfigError(
                f'model.{name} is batch norm after pooling to one value, and a process has a batch '
                'of one sample, whose variance is undefined. Set train_dataloader.batch_size to '
                'at least 2 (with train_dataloader.drop_last=True where the last batch of an epoch '
                "has one), or norm_cfg=dict(type='GN', num_groups=32) of that part of the model"
            )


def smallest_batch(loader: Any, endless: bool) -> int:
    """The number of samples in the smallest batch that a process gets."""
    batches = loader.batch_sampler
    batches = getattr(batches, 'batch_sampler', batches)
    if endless or getattr(batches, 'drop_last', True) or not hasattr(batches, 'sampler'):
        return batches.batch_size
    samples = len(batches.sampler)
    return samples % batches.batch_size or min(samples, batches.batch_size)


def norms_of_one_value(model: nn.Module) -> Iterator[str]:
    """Batch norm layers that see one value per channel and sample.

    They follow a pooling to size 1 in the same `nn.Sequential`, as in PSP and ASPP modules.
    """
    for name, part in model.named_modules():
        pooled = False
        for child_name, child in part.named_children() if isinstance(part, nn.Sequential) else ():
            for norm_name, norm in child.named_modules() if pooled else ():
                if isinstance(norm, _BatchNorm) and not _is_joint(norm) and _uses_batch(norm):
                    yield '.'.join(filter(None, (name, child_name, norm_name)))
            pooled = pooled or (isinstance(child, POOLS) and _is_one(child.output_size))


def _is_one(size: Any) -> bool:
    sizes = size if isinstance(size, (tuple, list)) else (size,)
    return all(value == 1 for value in sizes)


def _is_joint(norm: nn.Module) -> bool:
    """Whether a layer computes its statistics over all processes."""
    return 'Sync' in type(norm).__name__ and get_world_size() > 1


def _uses_batch(norm: _BatchNorm) -> bool:
    """Whether a layer will use batch statistics; parts in eval mode stay there during training."""
    return not norm.track_running_stats or norm.training
