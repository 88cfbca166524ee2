"""Show what the backbone of a config costs at an input size."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from ..checks.config import BACKBONES
from ..costs import counts
from ..costs.input_size import training_size
from ..errors import ConfigError
from ..models import SwinBackbone
from ..tables import text_table
from ..tasks import task_of
from .common import read_config
from .options import analyze_parser


def main(argv: Sequence[str] | None = None) -> None:
    """`analyze CONFIG [flags]`."""
    args = analyze_parser().parse_args(argv)
    if args.runs < 1:
        raise ConfigError(f'--runs {args.runs} must be at least 1')
    cfg = read_config(args.config, args.cfg_options, ['model'])
    model = build(cfg)
    size = args.size or list(training_size(cfg, task_of(cfg)))
    if len(size) != model.backbone.rank or min(size) < 1:
        raise ConfigError(f'--size {size} must be {model.backbone.rank} positive numbers')
    macs = report_counts(model, size)
    if not args.count_only:
        report_run(model.backbone, size, macs, args.runs)


def build(cfg: Config) -> torch.nn.Module:
    """The model of a config, without pretrained weights."""
    path = cfg.filename
    if not cfg.get('model'):
        raise ConfigError(f'config {path} has no model; give one that can be trained')
    init_default_scope(cfg.default_scope)
    try:
        model = MODELS.build(cfg.model)
    except (KeyError, TypeError, ValueError, ImportError) as error:
        raise ConfigError(f'the model of {path} cannot be built: {error}') from error
    kind = cfg.model.get('backbone', {}).get('type')
    if not isinstance(getattr(model, 'backbone', None), SwinBackbone):
        raise ConfigError(
            f'{path}: model.backbone is {kind}; give a config whose backbone is '
            f'{", ".join(BACKBONES)}'
        )
    return model


def report_counts(model: torch.nn.Module, sizes: list[int]) -> int:
    """Print parameters and MACs; returns the MACs of the backbone."""
    rows = [
        [name, f'{sum(p.numel() for p in child.parameters()):,}']
        for name, child in model.named_children()
    ]
    total = sum(p.numel() for p in model.parameters())
    print(text_table([*rows, ['total', f'{total:,}']], ['model', 'parameters']))
    parts = counts.count(model.backbone, sizes)
    print(f'\nbackbone at {"x".join(map(str, sizes))}, one image')
    rows = [
        [part.name, 'x'.join(map(str, part.sizes)), f'{part.params:,}']
        + [f'{macs / 1e9:,.2f}' for macs in (part.matmul, part.attention)]
        for part in parts
    ]
    sums = [sum(getattr(p, name) for p in parts) for name in ('params', 'matmul', 'attention')]
    rows.append(['total', '', f'{sums[0]:,}', *(f'{s / 1e9:,.2f}' for s in sums[1:])])
    print(text_table(rows, ['part', 'map', 'parameters', 'matmul GMACs', 'attention GMACs']))
    return sums[1] + sums[2]


def report_run(backbone: SwinBackbone, sizes: list[int], macs: int, runs: int) -> None:
    """Run the backbone, and print memory and speed."""
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    backbone = backbone.to(device)
    image = torch.randn(1, 3, *sizes, device=device)
    backbone.eval()
    with torch.no_grad(), counts.LargestTensor(backbone) as largest:
        backbone(image)
    shape = 'x'.join(map(str, largest.shape))
    print(f'\nlargest tensor of a forward pass: {largest.num_bytes / 2**20:.1f} MB ({shape})')
    with torch.no_grad():
        times = [counts.seconds(lambda: backbone(image), device) for _ in range(runs + 1)][1:]
    speed, peak = macs / statistics.median(times), counts.matmul_peak(device, image.dtype)
    print(
        f'forward pass: {statistics.median(times):.3f} s (median of {runs}), {speed / 1e9:.0f} '
        f'GMAC/s, {speed / peak:.0%} of the {peak / 1e9:.0f} GMAC/s of a matrix product here'
    )
    kept = counts.kept_per_stage(backbone, image)
    rows = [[f'stage {i + 1}', f'{size / 2**20:.1f}'] for i, size in enumerate(kept[:-1])]
    rows += [['patch embedding, output norms', f'{kept[-1] / 2**20:.1f}']]
    rows += [['total', f'{sum(kept) / 2**20:.1f}']]
    print(f'\n{text_table(rows, ["kept for the backward pass", "MB"])}')
