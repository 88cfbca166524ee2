"""Load pretrained weights into a backbone, and report what happened to every parameter."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from ..arguments import Arch, Parts
from ..errors import CheckpointError, truncate
from .bias_tables import KEY, fit_tables, inflate_table
from .fetching import LocalCheckpoint, fetch
from .formats import HEAD, Weights, arch_name, arch_of, convert, summarize_keys
from .low_rank import is_adapter
from .new_bands import fit_bands
from .parts import check_parts, parts_of
from .pretrained_windows import PretrainedWindows, find_pretrained_windows
from .reading import read_checkpoint_file

PROJ = 'patch_embed.proj.weight'


class Backbone(Protocol):
    """What loading needs from a backbone; `models.SwinBackbone` provides it."""

    rank: int  # number of spatial axes
    parts: Parts
    arch: Arch  # of the stages that are built
    out_indices: tuple[int, ...]
    pretrained_windows_given: bool  # in the config, so that a checkpoint must not change them

    @property
    def patch_size(self) -> tuple[int, ...]:
        """Pixels per patch, one per axis."""

    @property
    def pretrained_window_sizes(self) -> list[tuple[int, ...]]:
        """Windows per stage that scale the offsets, or that the bias tables belong to."""

    def set_pretrained_window_sizes(self, windows: Sequence, source: str) -> None:
        """Adopt the pretrained windows of weights from `source`."""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """See `nn.Module`."""


@dataclass
class LoadReport:
    """What loading did, by name.

    `matched`, `missing` and `reinitialized` are parameters of the model; `unexpected` and `ignored`
    are keys of the checkpoint.
    """

    source: str
    format: str
    arch: str
    matched: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    reinitialized: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    inflated: bool = False
    pretrained_window_sizes: list[tuple[int, ...]] = field(default_factory=list)
    windows_from: str = 'the config'
    tables_for: list[tuple[int, ...]] = field(default_factory=list)  # if they were interpolated

    def __str__(self) -> str:
        meanings = dict(
            matched=' parameters',
            missing=' (left unchanged)',
            reinitialized=' (output norms that it lacks, set to 1 and 0)',
            unexpected=' (not used)',
            ignored=' (not part of the backbone)',
        )
        lines = [
            f'Loaded pretrained weights from {self.source}',
            f'  format: {self.format}',
            f'  arch: {self.arch}{", inflated from images to video" if self.inflated else ""}',
        ]
        for name, meaning in meanings.items():
            keys = getattr(self, name)
            names = {'matched': '', 'ignored': f' {summarize_keys(keys)}'}.get(
                name, f' {truncate(keys)}'
            )
            shown = f'{meaning}{names}' if keys else ''
            lines.append(f'  {name}: {len(keys)}{shown}')
        lines.append(
            f'  pretrained_window_sizes: {self.pretrained_window_sizes} (from {self.windows_from})'
        )
        if self.tables_for:
            lines.append(f'  bias tables interpolated (bicubic) to windows {self.tables_for}')
        return '\n'.join(lines)


def read_weights(source: str, prefix: str | None = None) -> tuple[Weights, LocalCheckpoint]:
    """Fetch, read and convert a checkpoint of any known format.

    Raises:
        CheckpointError: See `fetch`, `read_checkpoint_file` and `convert`.
    """
    file = local_file(source)
    if _is_fetched(source):
        checkpoint = read_checkpoint_file(file.path, map_location='cpu', mapped=True)
    else:
        checkpoint = CheckpointLoader.load_checkpoint(source, map_location='cpu')
    return convert(checkpoint, source, prefix), file


def local_file(source: str) -> LocalCheckpoint:
    """The local copy of a checkpoint; of one in object storage or a model zoo only its name."""
    return fetch(source) if _is_fetched(source) else LocalCheckpoint(source, Path(source))


def _is_fetched(source: str) -> bool:
    scheme = re.match(r'(\S+:)?([\w-]+)://', source)
    return scheme is None or scheme[2] in ('http', 'https', 'hf')


def load_pretrained(
    model: Backbone,
    source: str,
    prefix: str | None = None,
    allow_missing: bool = False,
    new_bands: str | None = None,
) -> LoadReport:
    """Load a checkpoint of any known format into `model`, or raise and change nothing.

    Image weights are inflated for a video model: the patch embedding is repeated over the frames
    of a patch and divided by their number, and the position bias ignores temporal offsets. A still
    clip then has the features of its image. Bias tables of other windows are interpolated.

    Args:
        model: The backbone.
        source: Path, URL or `hf://owner/name`.
        prefix: Prefix of the backbone's keys, for checkpoints with several backbones.
        allow_missing: Accept missing parameters other than output norms; they stay unchanged.
        new_bands: How to fit weights to a model with other `in_channels`: 'repeat', 'average' or
            'zero', see `fit_bands`.

    Raises:
        CheckpointError: The checkpoint cannot be read, lacks a parameter other than an output norm,
            has other parts or another architecture, or was trained with windows that are unknown or
            contradict the config.
    """
    weights, file = read_weights(source, prefix)
    return load_weights(model, weights, file, allow_missing, new_bands=new_bands)


def load_weights(
    model: Backbone,
    weights: Weights,
    file: LocalCheckpoint,
    allow_missing: bool = False,
    head: Mapping[str, nn.Parameter] | None = None,
    new_bands: str | None = None,
) -> LoadReport:
    """`load_pretrained`, given what `read_weights` returned.

    Args:
        model: The backbone.
        weights: Of any format.
        file: Where they are from.
        allow_missing: See `load_pretrained`.
        head: Parameters of a classifier's head that are loaded too; `fc.weight` and `fc.bias` are
            in the checkpoint.
        new_bands: See `load_pretrained`.
    """
    source = file.name
    arch = arch_of(weights.state)
    parts = parts_of(weights.state)
    report = LoadReport(source, str(weights), arch_name(arch, parts))
    check_parts(parts, model.parts, source)
    like = model.pretrained_window_sizes if weights.rank == model.rank else None
    windows = find_pretrained_windows(weights, file, like)
    if weights.rank != model.rank:
        report.inflated = True
        windows = _inflate(weights.state, windows, model, source)
    check_arch(model, weights.state, source)
    if fit_tables(weights.state, model.pretrained_window_sizes, source):
        report.tables_for = model.pretrained_window_sizes
    own = dict(model.named_parameters())
    _fit_bands(weights.state, own, new_bands, source)
    found = _for_model(weights.state, model, report, len(arch.depths))
    if head is None:
        report.ignored += weights.head_keys
    else:
        own |= {f'head.{key}': value for key, value in head.items()}
        found |= {f'{HEAD}{key}': value for key, value in weights.head.items()}
    report.ignored += weights.ignored
    report.matched = [key for key in own if key in found]
    output_norms = tuple(f'norm{i}.' for i in model.out_indices)
    for key in own.keys() - found.keys():
        if is_adapter(key):  # `convert` has added those of the checkpoint to its weights
            continue
        is_norm = key.startswith(output_norms)
        (report.reinitialized if is_norm else report.missing).append(key)
    report.missing.sort()
    report.reinitialized.sort()
    _check_missing(report, allow_missing)
    check_values({key: value.shape for key, value in own.items()}, found, source)
    _check_memory(own, source)
    _adopt_pretrained_windows(model, windows, report)
    with torch.no_grad():
        for key, value in found.items():
            own[key].copy_(value)
        for key in report.reinitialized:
            own[key].fill_(1.0 if key.endswith('weight') else 0.0)
    print_log(str(report), 'current', logging.WARNING if report.unexpected else logging.INFO)
    return report


def _for_model(
    state: Mapping[str, Tensor], model: Backbone, report: LoadReport, num_stages: int
) -> dict[str, Tensor]:
    """The parameters that `model` has; the final norm becomes the last stage's output norm."""
    own = dict(model.named_parameters())
    built = len(model.arch.depths)
    not_built = tuple(f'layers.{i}.' for i in range(built, num_stages))
    not_built += (f'layers.{built - 1}.downsample.',) if built < num_stages else ()
    not_built += tuple(f'norm{i}.' for i in range(num_stages))
    found = {}
    for key, value in state.items():
        last = key.replace('norm', f'norm{num_stages - 1}', 1)
        if key.startswith('norm.') and last not in state:
            key = last
        if key in own:
            found[key] = value
        elif key.startswith(not_built):
            report.ignored.append(key)
        elif key == 'absolute_pos_embed':
            raise CheckpointError(
                f'checkpoint {report.source} has an absolute position embedding, which '
                'SwinTransformerV2 does not have; without it the features would differ'
            )
        else:
            report.unexpected.append(key)
    return found


def _inflate(
    state: dict[str, Tensor],
    pretrained: PretrainedWindows | None,
    model: Backbone,
    source: str,
) -> PretrainedWindows | None:
    """Inflate image weights in place; returns their windows with the model's own along time."""
    if model.rank != 3:
        raise CheckpointError(
            f'checkpoint {source} holds video weights; {type(model).__name__} takes image weights'
        )
    frames = model.patch_size[0]
    for key, value in state.items():
        if key == PROJ:
            state[key] = value.unsqueeze(2).repeat(1, 1, frames, 1, 1) / frames
        elif key.endswith('cpb_mlp.0.weight'):
            state[key] = torch.cat([torch.zeros_like(value[:, :1]), value], dim=1)
        elif key.endswith(KEY):
            depth = model.pretrained_window_sizes[int(key.split('.')[1])][0]
            state[key] = inflate_table(value, depth)
    if pretrained is None:
        return None
    own = model.pretrained_window_sizes
    windows = [(t[0], *w) for t, w in zip(own, pretrained.windows)]
    return PretrainedWindows(windows, f'{pretrained.origin}; the temporal ones from the config')


def _fit_bands(
    state: dict[str, Tensor], own: Mapping[str, Tensor], mode: str | None, source: str
) -> None:
    """Fit the patch embedding to the bands of the model, in place."""
    weight, wanted = state.get(PROJ), own.get(PROJ)
    if weight is None or wanted is None or weight.shape[1] == wanted.shape[1]:
        return
    if mode is None:
        raise CheckpointError(
            f'checkpoint {source} takes {weight.shape[1]} bands, the backbone has in_channels='
            f"{wanted.shape[1]}; set new_bands='repeat', 'average' or 'zero' in init_cfg, or use "
            'weights with as many bands'
        )
    state[PROJ] = fit_bands(weight, wanted.shape[1], mode, source)
    print_log(
        f'{source}: patch embedding fitted from {weight.shape[1]} to {wanted.shape[1]} bands '
        f'({mode})',
        'current',
    )


def _adopt_pretrained_windows(
    model: Backbone, pretrained: PretrainedWindows | None, report: LoadReport
) -> None:
    if model.parts.position_bias == 'table':  # it has been fitted to the model
        report.pretrained_window_sizes = [] if pretrained is None else pretrained.windows
        report.windows_from = 'its bias tables'
        return
    if pretrained is not None:
        model.set_pretrained_window_sizes(pretrained.windows, report.source)
        report.windows_from = pretrained.origin
    elif not model.pretrained_windows_given:
        raise CheckpointError(
            f'checkpoint {report.source} does not say which windows its weights were trained with, '
            'which scale the log-CPB offsets. Set pretrained_window_sizes of the backbone: '
            '[w, w, w, min(w, image size / 32)] for weights trained with window w, such as '
            '[12, 12, 12, 6] at 192 pixels; if they were fine-tuned at a larger window, those of '
            'the first training.'
        )
    report.pretrained_window_sizes = model.pretrained_window_sizes


# ------------------------------------------------------------------------------------------- checks


def check_arch(model: Backbone, state: Mapping[str, Tensor], source: str) -> None:
    """Raise if the checkpoint has another architecture, even if it has every parameter of `model`.

    Shallower checkpoints pass: they lack parameters, which may be allowed.
    """
    arch, own = arch_of(state), model.arch
    built = len(own.depths)
    deeper = any(a > b for a, b in zip(arch.depths, own.depths))
    heads = arch.num_heads[:built] != own.num_heads[: len(arch.num_heads)]
    norms = arch.extra_norm_every not in (0, own.extra_norm_every)
    if arch.embed_dims and (arch.embed_dims != own.embed_dims or deeper or heads or norms):
        raise CheckpointError(
            f'checkpoint {source} does not fit the backbone: it is {arch_name(arch, model.parts)}, '
            f'the config builds {arch_name(own, model.parts)}. Set arch of the backbone to that '
            'of the checkpoint.'
        )


def _check_missing(report: LoadReport, allow_missing: bool) -> None:
    if report.missing and not allow_missing:
        total = len(report.missing) + len(report.matched)
        raise CheckpointError(
            f'checkpoint {report.source} lacks {len(report.missing)} of {total} parameters of the '
            f'backbone: {truncate(report.missing)}. It holds {report.arch}; does arch match? '
            'Nothing was loaded, because a block without its norms is the identity; '
            'allow_missing=True in init_cfg loads what there is.'
        )


def check_values(
    shapes: Mapping[str, torch.Size], found: Mapping[str, Tensor], source: str
) -> None:
    """Raise unless every value in `found` fits the parameter with its name."""
    wrong = []
    for key, value in found.items():
        if value.shape != shapes[key]:
            both = f'{tuple(value.shape)} in the file and {tuple(shapes[key])} in the model'
            wrong.append(f'{key} is {both}')
        elif not value.is_floating_point():
            wrong.append(f'{key} has dtype {value.dtype} and must be dequantized first')
    if wrong:
        raise CheckpointError(
            f'checkpoint {source} does not fit the backbone, nothing was loaded: {len(wrong)} '
            f'parameters differ, first: {wrong[0]}'
        )


def _check_memory(own: Mapping[str, Tensor], source: str) -> None:
    if any(value.is_meta for value in own.values()):
        raise CheckpointError(
            f'checkpoint {source} cannot be loaded into a backbone on the meta device, which has '
            'no storage; call to_empty() first'
        )
