"""Report which parameters a checkpoint did not load, and raise if the run cannot train them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS
from mmengine.runner import BaseLoop
from torch import nn

from ..distributed.parameters import unsharded_shapes, unwrapped_model, unwrapped_name
from ..errors import CheckpointError, truncate
from ..models.bias_table import fit_tables
from .backbone_weights import source_of

TRAINING_ONLY = ('auxiliary_head.',)  # used by losses only; published weights may lack it
COUNTER = 'num_batches_tracked'  # of BatchNorm; does not affect outputs


class Shapes(NamedTuple):
    """Shapes of a parameter in the checkpoint and in the model."""

    file: torch.Size
    model: torch.Size


@dataclass
class ModelLoadReport:
    """Names of parameters and buffers: `matched`, `missing` in the checkpoint, `reshaped` (the
    difference, by layer), and `unexpected` ones of the checkpoint.
    """

    source: str
    matched: list[str]
    missing: list[str]
    reshaped: dict[str, str]
    unexpected: list[str]

    def __str__(self) -> str:
        parts = {
            'reinitialized, missing in the checkpoint': self.missing_parts(),
            'reinitialized, different shape in the checkpoint': self.changes(),
            'not used, not part of the model': self.unexpected_parts(),
        }
        lines = [f'Loaded weights from {self.source}', f'  matched: {len(self.matched)} parameters']
        for title, shown in parts.items():
            lines.append(f'  {title}:{"" if shown else " none"}')
            lines += [f'    {line}' for line in shown]
        return '\n'.join(lines)

    def missing_parts(self) -> list[str]:
        return parts_of(self.missing, [*self.matched, *self._changed()])

    def unexpected_parts(self) -> list[str]:
        return parts_of(self.unexpected, [*self.matched, *self._changed(), *self.missing])

    def _changed(self) -> list[str]:
        return [f'{layer}.weight' for layer in self.reshaped]

    def changes(self) -> list[str]:
        return [f'{layer}: {change}' for layer, change in self.reshaped.items()]


@HOOKS.register_module()
class LoadReportHook(Hook):
    """Report what `load_from` loads, in place of mmengine's list of mismatched parameters.

    With an EMAHook that list is still logged: it compares the parameters before other hooks.

    Training continues: parameters that the checkpoint lacks or has with another shape, such as
    those of other classes, keep their initialization. Testing or resuming with them is an error.

    Raises:
        CheckpointError: In testing or resuming; names the parts that would not be loaded.
    """

    priority = 'LOWEST'  # after BackboneWeightsHook, which strips the prefixes of wrappers

    def __init__(self) -> None:
        self._handle = None

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        # The report waits for the loader, as modules may rename parameters of older versions in it.
        model = unwrapped_model(runner.model)
        state = checkpoint.get('state_dict', checkpoint)
        fit_tables(state, {unwrapped_name(n): m for n, m in runner.model.named_modules()})
        reshaped = {
            name: Shapes(state[name].shape, shape)
            for name, shape in _own_shapes(runner.model).items()
            if name in state and state[name].shape != shape
        }
        for name in reshaped:  # FSDP's loader would raise an error
            del state[name]

        def report(module: nn.Module, keys: Any) -> None:
            lost = [unwrapped_name(key) for key in keys.missing_keys]
            unexpected = [unwrapped_name(key) for key in keys.unexpected_keys]
            keys.missing_keys.clear()  # else mmengine lists them again
            keys.unexpected_keys.clear()
            _conclude(
                runner,
                ModelLoadReport(
                    source_of(runner),
                    [name for name in state if name not in unexpected],
                    [k for k in lost if k not in reshaped and not k.endswith(COUNTER)],
                    describe_changes({k: reshaped[k] for k in lost if k in reshaped}, module),
                    unexpected,
                ),
            )

        self._handle = model.register_load_state_dict_post_hook(report)

    def before_train(self, runner: Any) -> None:
        self._forget()

    def before_val(self, runner: Any) -> None:
        self._forget()

    def before_test(self, runner: Any) -> None:
        self._forget()

    def _forget(self) -> None:
        if self._handle is not None:
            self._handle.remove()
            self._handle = None


def _own_shapes(model: nn.Module) -> dict[str, torch.Size]:
    buffers = model.named_buffers(remove_duplicate=False)
    return {unwrapped_name(name): buffer.shape for name, buffer in buffers} | unsharded_shapes(
        model
    )


def _conclude(runner: Any, report: ModelLoadReport) -> None:
    """Log the report; raise if no training would train what is missing."""
    is_training = isinstance(runner._train_loop, BaseLoop)
    if not is_training:
        report.missing = [k for k in report.missing if not k.startswith(TRAINING_ONLY)]
    lost = report.missing_parts() + report.changes()
    if lost and not is_training:
        raise CheckpointError(
            f'checkpoint {report.source} does not fit the model, parts of which would be random: '
            f'{truncate(lost)}. Does the config match the one that was trained?'
        )
    if runner._resume and (lost or report.unexpected):
        raise CheckpointError(
            f'checkpoint {report.source} is of another model, so its training cannot be resumed: '
            f'{truncate(lost + report.unexpected_parts())}. Start from its weights with '
            '--cfg-options load_from=CHECKPOINT instead.'
        )
    level = logging.WARNING if lost or report.unexpected else logging.INFO
    print_log(str(report), 'current', level)


def parts_of(names: Iterable[str], others: Iterable[str]) -> list[str]:
    """The largest modules with parameters in `names` and none in `others`, with counts."""
    shared = {parent for name in others for parent in _parents(name)}
    parts = Counter(
        next((parent for parent in _parents(name) if parent not in shared), name) for name in names
    )
    return [f'{part} ({n} parameter{"" if n == 1 else "s"})' for part, n in parts.items()]


def _parents(name: str) -> list[str]:
    """Modules that contain a parameter, outermost first."""
    parts = name.split('.')
    return ['.'.join(parts[:end]) for end in range(1, len(parts))]


def describe_changes(reshaped: Mapping[str, Shapes], model: nn.Module) -> dict[str, str]:
    """The difference per layer, as `366 -> 81 rows: 365 -> 80 classes` if classes explain it."""
    changes = {}
    for name, (file, own) in reshaped.items():
        layer = name.rpartition('.')[0]
        if layer in changes:
            continue
        changes[layer] = f'{tuple(file)} -> {tuple(own)}'
        if len(file) == len(own) and file[1:] == own[1:]:
            changes[layer] = f'{file[0]} -> {own[0]} rows'
            classes = _classes(model, layer, file[0], own[0])
            if classes is not None:
                changes[layer] += f': {classes[0]} -> {classes[1]} classes'
    return changes


def _classes(model: nn.Module, layer: str, file: int, own: int) -> tuple[int, int] | None:
    """Classes in the checkpoint and in the model, if the rows of a layer are per class.

    Rows may be scores, with or without background; 4 box coordinates; or scores per anchor.
    """
    for parent in [*reversed(_parents(layer)), '']:
        head = model.get_submodule(parent)
        count = getattr(head, 'num_classes', None)
        if isinstance(count, int):
            break
    else:
        return None
    for rows in (1, 4, getattr(head, 'num_base_priors', 1)):
        for background in (0, 1):
            other = file // rows - background
            if own == rows * (count + background) and file % rows == 0 and other > 0:
                return other, count
    return None
