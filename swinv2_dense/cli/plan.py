"""Whether a training fits its GPUs, with which sharding, and how long a step takes."""

from __future__ import annotations

import argparse
import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from ..checks.config import BACKBONES
from ..config_parts import type_name
from ..costs.input_size import training_size
from ..costs.training_step import SCHEMES, Costs, communication, costs_of, memory, step_seconds
from ..errors import ConfigError
from ..models import SwinBackbone
from ..tables import text_table
from ..tasks import task_of
from .checkout import config_name
from .common import read_config
from .options import plan_parser

FITS = 0.9  # share of a GPU's memory; the rest is for CUDA, NCCL and fragmentation
FRAGMENTS = {'ZeRO-1': 'zero1.py', 'FSDP': 'fsdp.py'}  # of configs/_base_/schedules
# State tensors of an optimizer per parameter, and its arguments that add one.
MOMENTS = {
    **dict.fromkeys(('Adam', 'AdamW', 'NAdam', 'RAdam', 'Adamax', 'Adadelta'), 2),
    **dict(Adagrad=1, RMSprop=1, Lion=1, SGD=0),
}
MORE_MOMENTS = ('momentum', 'amsgrad', 'centered')
READ = ('model', 'train_dataloader', 'optim_wrapper')  # keys of the config


def main(argv: Sequence[str] | None = None) -> None:
    """`plan CONFIG --gpus N [flags]`."""
    args = plan_parser().parse_args(argv)
    for name in ('gpus', 'gpu_memory', 'tflops', 'bandwidth', 'samples'):
        if getattr(args, name) is not None and getattr(args, name) <= 0:
            raise ConfigError(f'--{name.replace("_", "-")}={getattr(args, name)} must be positive')
    if not 0 < args.utilization <= 1:
        raise ConfigError(f'--utilization={args.utilization} must be above 0 and at most 1')
    cfg = read_config(args.config, args.cfg_options, READ)
    for key in READ:
        if not cfg.get(key):
            raise ConfigError(f'{args.config} has no {key}, which a training needs')
    size = tuple(args.size) if args.size else training_size(cfg, task_of(cfg))
    costs, images = config_costs(cfg, size)
    print(_heading(cfg, costs, size, images, args))
    print(memory_table(costs, args.gpus, args.gpu_memory))
    optimizer = cfg.optim_wrapper.get('optimizer') or {}
    if moments_of(optimizer) is None:
        kind = type_name(optimizer)
        print(f'optim_wrapper.optimizer.type={kind!r} is unknown: counted like AdamW, 2 moments.\n')
    parts = cfg.optim_wrapper.get('accumulative_counts', 1)
    print(time_table(costs, args, parts, iterations(cfg, images * args.gpus, args.samples)))
    if args.samples is None and (cfg.get('train_cfg') or {}).get('max_epochs'):
        print('The total time depends on the number of samples per epoch: set --samples.\n')
    print(advice(costs, args))


def iterations(cfg: Config, batch: int, samples: int | None) -> int | None:
    """Batches of a training; None if that depends on an unknown number of samples."""
    settings = cfg.get('train_cfg') or {}
    if settings.get('max_iters'):
        return settings.max_iters
    epochs = settings.get('max_epochs')
    return epochs * math.ceil(samples / batch) if epochs and samples else None


def config_costs(cfg: Config, size: Sequence[int]) -> tuple[Costs, int]:
    """Costs of a step on one GPU at `size` in pixels, and the images per GPU.

    Raises:
        ConfigError: The model cannot be built, has another backbone, or `size` does not fit it.
    """
    init_default_scope(cfg.default_scope)
    model_cfg = copy.deepcopy(cfg.model)
    with torch.device('meta'):
        try:
            model = MODELS.build(model_cfg)
        except (KeyError, TypeError, ValueError, ImportError) as error:
            raise ConfigError(f'the model of {cfg.filename} cannot be built: {error}') from error
    backbone = getattr(model, 'backbone', None)
    if not isinstance(backbone, SwinBackbone):
        raise ConfigError(
            f'{cfg.filename}: model.backbone is {type(backbone).__name__}; give a config whose '
            f'backbone is {", ".join(BACKBONES)}'
        )
    if len(size) != backbone.rank or min(size) < 1:
        raise ConfigError(f'--size {list(size)} must be {backbone.rank} positive numbers')
    images = cfg.train_dataloader.batch_size
    bf16 = type_name(cfg.optim_wrapper) in ('Bf16OptimWrapper', 'AmpOptimWrapper')
    costs = costs_of(model, task_of(cfg).cost_parts(), size, images, bf16)
    moments = moments_of(cfg.optim_wrapper.get('optimizer') or {})
    costs.moments = costs.moments if moments is None else moments
    hooks = cfg.get('custom_hooks') or []
    costs.averages = sum(type_name(hook) == 'EMAHook' for hook in hooks)
    return costs, images


def moments_of(optimizer: Mapping[str, Any]) -> int | None:
    """State tensors of an optimizer per parameter; None for an unknown optimizer."""
    kept = MOMENTS.get(type_name(optimizer))
    return None if kept is None else kept + sum(bool(optimizer.get(key)) for key in MORE_MOMENTS)


def _heading(
    cfg: Config, costs: Costs, size: Sequence[int], images: int, args: argparse.Namespace
) -> str:
    parts = cfg.optim_wrapper.get('accumulative_counts', 1)
    kind = type_name(cfg.optim_wrapper)
    dtype = {'Bf16OptimWrapper': 'bf16', 'AmpOptimWrapper': 'fp16'}.get(kind, 'fp32')
    unit = 'clips' if task_of(cfg).takes_clips(cfg) else 'images'
    plural = '' if args.gpus == 1 else 's'
    accumulated = f' x {parts} accumulated' if parts > 1 else ''
    return (
        f'{cfg.filename}\n{sum(costs.parameters) / 1e6:,.1f} M parameters, products in {dtype}, '
        f'{images} {unit} of {" x ".join(map(str, size))} per GPU, '
        f'{args.gpus} GPU{plural}{accumulated}: '
        f'{images * args.gpus * parts} {unit} per step\n'
    )


def memory_table(costs: Costs, gpus: int, gpu_memory: float) -> str:
    """GiB per GPU by purpose and scheme, and whether they fit, as text."""
    found = {scheme: memory(costs, scheme, gpus) for scheme in SCHEMES}
    rows = [
        _row(name, [found[scheme][name] / 2**30 for scheme in SCHEMES])
        for name in found[SCHEMES[0]]
    ]
    totals = [sum(found[scheme].values()) / 2**30 for scheme in SCHEMES]
    fits = ['yes' if total <= FITS * gpu_memory else 'no' for total in totals]
    rows += [_row('total', totals), [f'fits {gpu_memory:g} GB', *fits]]
    return text_table(rows, ['GB per GPU', *SCHEMES]) + '\n'


def time_table(
    costs: Costs, args: argparse.Namespace, parts: int, batches: int | None = None
) -> str:
    """Seconds and communication of a step, and hours of a training of `batches`, as text."""
    title = f'at {args.tflops:g} TFLOPS x {args.utilization:g}, {args.bandwidth:g} GB/s'
    sent, computing, communicating, step = [], [], [], []
    for scheme in SCHEMES:
        numbers = (args.tflops, args.utilization, args.bandwidth * 1e9)
        compute, send = step_seconds(costs, scheme, args.gpus, *numbers)
        sends = parts if scheme == 'FSDP' else 1  # DDP communicates after the last part only
        sent.append(sends * communication(costs, scheme, args.gpus) / 2**30)
        computing.append(parts * compute)
        communicating.append(sends * send)
        step.append(max(computing[-1], communicating[-1]))
    rows = [_row('GB sent per step', sent), _row('s computing', computing)]
    rows += [_row('s sending', communicating), _row('s per step, overlapped', step)]
    if batches:
        rows.append(_row('hours in total', [seconds * batches / parts / 3600 for seconds in step]))
    return f'{title}\n{text_table(rows, ["", *SCHEMES])}\n'


def _row(name: str, values: Sequence[float]) -> list[str]:
    return [name, *map(_digits, values)]


def _digits(value: float) -> str:
    """Two decimals, or two significant digits of small values: 12.34, 0.0056."""
    return f'{value:.2f}' if value == 0 or value >= 0.1 else f'{value:.2g}'


def advice(costs: Costs, args: argparse.Namespace) -> str:
    """Which scheme to use: the first one that fits."""
    for scheme in SCHEMES:
        if sum(memory(costs, scheme, args.gpus).values()) / 2**30 <= FITS * args.gpu_memory:
            if scheme == 'DDP':
                return 'Fits as it is.'
            fragment = config_name(f'configs/_base_/schedules/{FRAGMENTS[scheme]}')
            return f'Fits with {scheme}: add {fragment} to _base_.'
    return (
        'Fits with none of them. Try model.backbone.with_cp=True, fewer images per GPU with '
        'optim_wrapper.accumulative_counts, bf16, or more GPUs.'
    )
