"""Which windows weights were trained with: the divisors of the log-CPB offsets.

They are not the windows of the checkpoint's own config where it was fine-tuned at larger ones, and
not what anybody wants to type. In this order: the metadata of a state dict of this package, the
stored tables of log-spaced coordinates, the config.json beside the weights, the name of a release.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from .fetching import LocalCheckpoint
from .formats import METADATA_KEY, TABLE, WRAPPERS, Weights
from .reading import HUB_FILES

# Releases whose files do not hold their tables, or may not: timm's and transformers' names are the
# official ones without `patch4`. The last stage is clamped to the map, image size / 32. Source:
# configs/swinv2/*.yaml and MODELHUB.md of the official code, where the fine-tuned weights
# (12to16, 12to24) have PRETRAINED_WINDOW_SIZES [12, 12, 12, 6]; configs/swin_transformer_v2 of
# mmpretrain; torchvision trained its own weights at window 8.
RELEASES = (
    (r'swinv2_(tiny|small|base)_window8_256', (8, 8, 8, 8)),
    (r'swinv2_(tiny|small|base)_window16_256', (16, 16, 16, 8)),
    (r'swinv2_(base|large)_window12_192', (12, 12, 12, 6)),
    (r'swinv2_(base|large)_window12to(16_192to256|24_192to384)', (12, 12, 12, 6)),
    (r'swinv2_(base|large)_w(16|24)_in21k_pre_3rdparty', (12, 12, 12, 6)),
    (r'swinv2_(base|large)_w12_3rdparty', (12, 12, 12, 6)),
    (r'swinv2_(tiny|small|base)_w8_3rdparty', (8, 8, 8, 8)),
    (r'swinv2_(tiny|small|base)_w16_3rdparty', (16, 16, 16, 8)),
    (r'swin_v2_[tsb]', (8, 8, 8, 8)),
    # SimMIM; it fine-tunes at 224 pixels and window 14, with the divisors of the pre-training.
    (r'(finetune_)?swinv2_(small|base|large|huge|giant)_(in)?\d+k[a-z0-9]*_\d+k', (12, 12, 12, 6)),
)
# What releases have behind that: data, as the official code, timm and mmpretrain write it, a date,
# a checksum. A name with more is of somebody's own training.
SUFFIX = r'(_22k|_22kto1k_ft|_22kft1k|\.ms_in\w+|_in\d+k_\d+px)?(_\d{8})?(_[0-9a-f]{8,64})?'


class PretrainedWindows(NamedTuple):
    """Window per stage, a tuple over axes, and how it is known."""

    windows: list[tuple[int, ...]]
    origin: str


def find_pretrained_windows(weights: Weights, file: LocalCheckpoint) -> PretrainedWindows | None:
    """PretrainedWindows of a checkpoint's log-CPB offsets, or None where nothing tells them."""
    if METADATA_KEY in weights.metadata:
        return PretrainedWindows([tuple(w) for w in weights.metadata[METADATA_KEY]], 'its metadata')
    num_stages = len({k.split('.')[1] for k in weights.state if k.startswith('layers.')})
    windows = windows_from_coords_table(weights.tables, num_stages)
    if windows is not None:
        return PretrainedWindows(windows, 'its stored coordinate tables')
    windows = _from_hf_config(_swinv2_config(file.config))
    if windows is not None:
        return PretrainedWindows(windows, 'config.json beside it')
    return from_name(str(file.config.get('architecture', ''))) or from_name(file.name)


def windows_from_coords_table(
    tables: Mapping[str, Tensor], num_stages: int, prefix: str = ''
) -> list[tuple[int, ...]] | None:
    """PretrainedWindows from tables (1, 2w-1, ..., rank) of log-spaced coordinates.

    The window p that the offsets were divided by follows from the table's last entry,
    log2(8 (w-1) / (p-1) + 1) / log2(8).
    """
    divisors = []
    for stage in range(num_stages):
        table = tables.get(f'{prefix}layers.{stage}.blocks.0.{TABLE}')
        if table is None:
            return None
        divisors.append(tuple(_divisor(table, axis) for axis in range(table.shape[-1])))
    return divisors or None


def _divisor(table: Tensor, axis: int) -> int:
    window = trained_window(table)[axis]
    corner = table.flatten(0, -2)[-1, axis].item()
    if window == 1 or not corner > 0:
        return window
    return 1 + round(8 * (window - 1) / (math.pow(8, corner) - 1))


def trained_window(table: Tensor) -> tuple[int, ...]:
    """Window w per axis of a table (1, 2w-1, ..., rank)."""
    return tuple((size + 1) // 2 for size in table.shape[1:-1])


def from_name(name: str) -> PretrainedWindows | None:
    """Windows of a release, by its file, or its repository or folder if the file has no name."""
    plain = release_name(name).lower().replace('-', '_').replace('_patch4', '')
    for pattern, windows in RELEASES:
        if re.fullmatch(pattern + SUFFIX, plain):
            origin = f'the name of its release, {release_name(name)}'
            return PretrainedWindows([(w, w) for w in windows], origin)
    return None


def release_name(path: str) -> str:
    """What a checkpoint is called, without folders, revision and suffix."""
    parts = path.rpartition('://')[2].split('/')
    name = parts[-2] if parts[-1] in HUB_FILES and len(parts) > 1 else parts[-1]
    return re.sub(r'(\.(pth|pt|bin|ckpt|tar|safetensors))+$', '', name.partition('@')[0])


def _swinv2_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The SwinV2 part of a config of transformers: itself, or that of a detector's backbone."""
    return next(_swinv2_configs(config), {})


def _swinv2_configs(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if config.get('model_type') == 'swinv2':
        yield config
    for value in config.values():
        if isinstance(value, Mapping):
            yield from _swinv2_configs(value)


def _from_hf_config(config: Mapping[str, Any]) -> list[tuple[int, ...]] | None:
    """transformers clamps each stage's window to the map of `image_size`; divisor 0 means it."""
    try:
        size, patch, window = (config[k] for k in ('image_size', 'patch_size', 'window_size'))
        depths = config['depths']
    except KeyError:
        return None
    height = (size[0] if isinstance(size, list) else size) // (
        patch[0] if isinstance(patch, list) else patch
    )
    given = config.get(METADATA_KEY) or [0] * len(depths)
    windows = [min(window, height // 2**stage) for stage in range(len(depths))]
    return [(own if d == 0 else d,) * 2 for own, d in zip(windows, given)]


def attach_pretrained_windows(
    state: Mapping[str, Any], model: nn.Module, prefix: str = ''
) -> OrderedDict:
    """A state dict of `model` whose metadata holds the divisors of every SwinV2 backbone in it.

    `model.state_dict()` has them already. What gathers the parts of a sharded model, or copies
    the entries into another dict, loses them.

    Args:
        state: Parameters by name, whole or consolidated.
        model: Module with the backbones.
        prefix: What the names in `state` have before those in `model`.
    """
    result = state if isinstance(state, OrderedDict) else OrderedDict(state)
    metadata = getattr(result, '_metadata', OrderedDict())
    for name, module in model.named_modules():
        if hasattr(module, 'set_pretrained_window_sizes'):
            key = prefix + WRAPPERS.sub('', f'{name}.')
            entry = dict(metadata.get(key.rstrip('.'), {}))
            metadata[key.rstrip('.')] = entry | {METADATA_KEY: module.pretrained_window_sizes}
    result._metadata = metadata
    return result
