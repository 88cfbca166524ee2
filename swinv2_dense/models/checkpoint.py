"""Load pretrained weights into a backbone and say what became of every parameter.

The official checkpoints (key `model`) name their parameters as this package does; they add
coordinate tables and masks, which are derived and dropped, a classifier head, and a final `norm`,
which becomes the output norm of the last stage.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from mmengine.logging import print_log
from torch import Tensor

from ..compat import load_from_http, read_checkpoint_file

if TYPE_CHECKING:
    from .swin_transformer_v2 import SwinTransformerV2

DERIVED = ('attn.relative_coords_table', 'attn.relative_position_index', 'attn_mask')
NOT_BACKBONE = ('head.', 'mask_token', 'decoder.')


@dataclass
class LoadReport:
    """What loading did with the parameters of model and checkpoint, by name."""

    source: str
    matched: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    pretrained_window_sizes: list[tuple[int, ...]] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f'Loaded pretrained weights from {self.source}']
        lines.append(f'  matched: {len(self.matched)} parameters')
        for name in ('missing', 'unexpected', 'ignored'):
            keys = getattr(self, name)
            meaning = ' (keep their initial values)' if name == 'missing' and keys else ''
            lines.append(f'  {name}: {len(keys)}{meaning}{_shortened(keys)}')
        lines.append(f'  pretrained_window_sizes: {self.pretrained_window_sizes}')
        return '\n'.join(lines)


def load_pretrained(model: SwinTransformerV2, path: str) -> LoadReport:
    """Load an official checkpoint, or one of this package, from a file or URL into `model`.

    Raises:
        FileNotFoundError: There is no file at `path`.
        ValueError: A parameter other than an output norm is missing or has another shape, or the
            windows the weights were trained with are unknown or contradict the config.
    """
    state = unwrap_state_dict(_read(path), path)
    report = LoadReport(source=path)
    own = dict(model.named_parameters())
    found = {}
    for key, value in state.items():
        if key.endswith(DERIVED) or key.startswith(NOT_BACKBONE):
            report.ignored.append(key)
            continue
        if key.startswith('norm.'):
            key = key.replace('norm', f'norm{model.num_stages - 1}', 1)
        (report.matched if key in own else report.unexpected).append(key)
        found[key] = value
    report.missing = [key for key in own if key not in found]
    _check_missing(model, report)
    _check_shapes(own, {key: found[key] for key in report.matched}, path)
    divisors = stored_divisors(state, model)
    if divisors is not None:
        model.set_pretrained_window_sizes(divisors, path)
    elif not model.divisors_given:
        raise ValueError(
            f'{path} does not say which windows its weights were trained with, which scale the '
            'log-CPB offsets. Set pretrained_window_sizes of the backbone, for example '
            '[12, 12, 12, 6] for weights trained at 192 pixels with window 12.'
        )
    with torch.no_grad():
        for key in report.matched:
            own[key].copy_(found[key])
    report.pretrained_window_sizes = model.pretrained_window_sizes
    print_log(str(report), logger='current')
    return report


def unwrap_state_dict(checkpoint: object, path: str) -> Mapping[str, Tensor]:
    """Take the parameters out of their container (`model`, `state_dict`) and prefix (`backbone.`).

    Raises:
        ValueError: There is no SwinV2 backbone in it.
    """
    for container in ('model', 'state_dict'):
        if isinstance(checkpoint, Mapping) and isinstance(checkpoint.get(container), Mapping):
            checkpoint = checkpoint[container]
    keys = list(checkpoint) if isinstance(checkpoint, Mapping) else []
    prefix = 'backbone.' if any(key.startswith('backbone.') for key in keys) else ''
    if f'{prefix}layers.0.blocks.0.attn.logit_scale' not in keys:
        raise ValueError(
            f'{path} holds no Swin Transformer V2 in the official format: expected parameters '
            f'like layers.0.blocks.0.attn.logit_scale, found {_shortened(keys).strip() or "none"}'
        )
    state = {k[len(prefix) :]: v for k, v in checkpoint.items() if k.startswith(prefix)}
    metadata = getattr(checkpoint, '_metadata', {}).get(prefix.rstrip('.'), {})
    return _WithMetadata(state, metadata)


class _WithMetadata(dict):
    """A state dict with the metadata of its module."""

    def __init__(self, state: Mapping[str, Tensor], metadata: Mapping) -> None:
        super().__init__(state)
        self.metadata = metadata


def stored_divisors(state: Mapping, model: SwinTransformerV2) -> list[tuple[int, ...]] | None:
    """Windows the weights were trained with, per stage, as far as the file tells.

    Checkpoints of this package carry them as metadata. The official ones hold their table of
    log-spaced coordinates: its size is 2w-1, and the window p that its offsets were divided by
    follows from the corner log2(8 (w-1) / (p-1) + 1) / log2(8).
    """
    metadata = getattr(state, 'metadata', {})
    if 'pretrained_window_sizes' in metadata:
        return list(metadata['pretrained_window_sizes'])
    divisors = []
    for stage in range(len(model.layers)):
        table = state.get(f'layers.{stage}.blocks.0.attn.relative_coords_table')
        if table is None:
            return None
        divisors.append(tuple(_divisor(table, axis) for axis in range(model.rank)))
    return divisors


def _divisor(table: Tensor, axis: int) -> int:
    """Window the offsets of `axis` in a table (1, 2w-1, ..., rank) were divided by."""
    window = (table.shape[1 + axis] + 1) // 2
    corner = table.flatten(0, -2)[-1, axis].item()
    if window == 1 or corner == 0:
        return window
    return 1 + round(8 * (window - 1) / (math.pow(8, corner) - 1))


def _read(path: str) -> object:
    is_url = path.startswith(('http://', 'https://'))
    return (load_from_http if is_url else read_checkpoint_file)(path, map_location='cpu')


def _check_missing(model: SwinTransformerV2, report: LoadReport) -> None:
    output_norms = tuple(f'norm{i}.' for i in model.out_indices)
    essential = [key for key in report.missing if not key.startswith(output_norms)]
    if essential:
        raise ValueError(
            f'{report.source} lacks {len(essential)} of {len(essential) + len(report.matched)} '
            f'parameters of the backbone:{_shortened(essential)}. A block whose norms are not '
            'loaded is the identity, so nothing was loaded. Does arch match the checkpoint?'
        )


def _check_shapes(own: Mapping[str, Tensor], found: Mapping[str, Tensor], path: str) -> None:
    wrong = [
        f'{key} {tuple(value.shape)} in the file, {tuple(own[key].shape)} in the model'
        for key, value in found.items()
        if value.shape != own[key].shape
    ]
    if wrong:
        raise ValueError(
            f'{path} does not fit the backbone, nothing was loaded: {len(wrong)} shapes differ, '
            f'first {wrong[0]}. Does arch match the checkpoint?'
        )


def _shortened(keys: list[str], most: int = 6) -> str:
    rest = f', ... ({len(keys) - most} more)' if len(keys) > most else ''
    return f' {", ".join(keys[:most])}{rest}' if keys else ''
