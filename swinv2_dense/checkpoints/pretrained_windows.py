"""The pretrained windows of a checkpoint: those that its log-CPB offsets are scaled by.

They differ from the windows in the checkpoint's own config if it was fine-tuned at larger ones,
and users should not have to know them. Sources, in this order: the metadata of a state dict of this
package, stored tables of log-spaced coordinates, a config.json next to the weights, the name of a
release.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from .bias_tables import table_windows
from .fetching import LocalCheckpoint
from .formats import METADATA_KEY, TABLE, WRAPPERS, Weights
from .reading import HUB_FILES

# Releases whose files may lack the tables. timm and transformers use the official names without
# `patch4`. The last stage is clamped to the map, image size / 32. Sources: configs/swinv2/*.yaml
# and MODELHUB.md of the official code, where the fine-tuned weights (12to16, 12to24) have
# PRETRAINED_WINDOW_SIZES [12, 12, 12, 6]; configs/swin_transformer_v2 of mmpretrain; torchvision
# trained its own weights at window 8.
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
    (r'(sentinel[12]|landsat|aerial)_swin[tb]_(si|mi)', (8, 8, 8, 8)),  # SatlasPretrain
    # SimMIM; fine-tuned at 224 pixels and window 14, with the windows of the pre-training.
    (r'(finetune_)?swinv2_(small|base|large|huge|giant)_(in)?\d+k[a-z0-9]*_\d+k', (12, 12, 12, 6)),
)
# What may follow in the name of a release: the data, as the official code, timm and mmpretrain
# write it, a date, a checksum. Names with anything else belong to other trainings.
SUFFIX = r'(_22k|_22kto1k_ft|_22kft1k|\.ms_in\w+|_in\d+k_\d+px)?(_\d{8})?(_[0-9a-f]{8,64})?'


class PretrainedWindows(NamedTuple):
    """Window per stage, a tuple over axes, and where it comes from."""

    windows: list[tuple[int, ...]]
    origin: str


def find_pretrained_windows(
    weights: Weights, file: LocalCheckpoint, like: Sequence[Sequence[int]] | None = None
) -> PretrainedWindows | None:
    """The pretrained windows of a checkpoint, or None if they are unknown.

    `like` are the windows of the model, for bias tables that could belong to several windows.
    """
    if METADATA_KEY in weights.metadata:
        return PretrainedWindows([tuple(w) for w in weights.metadata[METADATA_KEY]], 'its metadata')
    num_stages = len({k.split('.')[1] for k in weights.state if k.startswith('layers.')})
    windows = windows_from_coords_table(weights.tables, num_stages)
    if windows is not None:
        return PretrainedWindows(windows, 'its stored coordinate tables')
    windows = table_windows(weights.state, weights.rank, like)
    if windows is not None:
        return PretrainedWindows(windows, 'its bias tables')
    windows = _from_hf_config(_swinv2_config(file.config))
    if windows is not None:
        return PretrainedWindows(windows, 'the config.json next to it')
    return from_name(str(file.config.get('architecture', ''))) or from_name(file.name)


def windows_from_coords_table(
    tables: Mapping[str, Tensor], num_stages: int, prefix: str = ''
) -> list[tuple[int, ...]] | None:
    """Pretrained windows per stage from tables (1, 2w-1, ..., rank) of log-spaced coordinates.

    The pretrained window p follows from the last entry of the table of window w, which is
    log2(8 (w-1) / (p-1) + 1) / log2(8).
    """
    windows = []
    for stage in range(num_stages):
        table = tables.get(f'{prefix}layers.{stage}.blocks.0.{TABLE}')
        if table is None:
            return None
        windows.append(tuple(_window_from(table, axis) for axis in range(table.shape[-1])))
    return windows or None


def _window_from(table: Tensor, axis: int) -> int:
    window = trained_window(table)[axis]
    corner = table.flatten(0, -2)[-1, axis].item()
    if window == 1 or not corner > 0:
        return window
    return 1 + round(8 * (window - 1) / (math.pow(8, corner) - 1))


def trained_window(table: Tensor) -> tuple[int, ...]:
    """Window w per axis that a table (1, 2w-1, ..., rank) is for."""
    return tuple((size + 1) // 2 for size in table.shape[1:-1])


def from_name(name: str) -> PretrainedWindows | None:
    """Windows of a release, by the name of its file, or of its repository or folder."""
    plain = release_name(name).lower().replace('-', '_').replace('_patch4', '')
    for pattern, windows in RELEASES:
        if re.fullmatch(pattern + SUFFIX, plain):
            origin = f'the name of the release, {release_name(name)}'
            return PretrainedWindows([(w, w) for w in windows], origin)
    return None


def release_name(path: str) -> str:
    """Name of a checkpoint without folders, revision and suffix."""
    parts = path.rpartition('://')[2].partition('?')[0].split('/')
    name = parts[-2] if parts[-1] in HUB_FILES and len(parts) > 1 else parts[-1]
    return re.sub(r'(\.(pth|pt|bin|ckpt|tar|safetensors))+$', '', name.partition('@')[0])


def _swinv2_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The SwinV2 part of a config of transformers: all of it, or the backbone of a detector."""
    return next(_swinv2_configs(config), {})


def _swinv2_configs(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if config.get('model_type') == 'swinv2':
        yield config
    for value in config.values():
        if isinstance(value, Mapping):
            yield from _swinv2_configs(value)


def _from_hf_config(config: Mapping[str, Any]) -> list[tuple[int, ...]] | None:
    """transformers clamps each stage's window to the map; a pretrained window of 0 means that."""
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
    return [(pretrained or own,) * 2 for own, pretrained in zip(windows, given)]


def attach_pretrained_windows(
    state: Mapping[str, Any], model: nn.Module, prefix: str = ''
) -> OrderedDict:
    """A state dict of `model` whose metadata holds the pretrained windows of all backbones in it.

    `model.state_dict()` already has them. They are lost where the parts of a sharded model are
    gathered, or entries are copied into another dict.

    Args:
        state: Parameters by name, unsharded.
        model: Module with the backbones.
        prefix: Prefix of the names in `state` relative to those in `model`.
    """
    result: Any = state if isinstance(state, OrderedDict) else OrderedDict(state)
    metadata = getattr(result, '_metadata', OrderedDict())
    for name, module in model.named_modules():
        if hasattr(module, 'set_pretrained_window_sizes'):
            key = prefix + WRAPPERS.sub('', f'{name}.')
            entry = dict(metadata.get(key.rstrip('.'), {}))
            metadata[key.rstrip('.')] = entry | {METADATA_KEY: module.pretrained_window_sizes}
    result._metadata = metadata
    return result
