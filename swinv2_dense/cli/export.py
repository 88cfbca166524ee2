"""Export a model as ONNX or pt2, and compare the file with the model."""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..checks.paths import check_checkpoint, check_writable
from ..errors import ConfigError
from ..export.exporter import Exporter, Settings
from ..export.metadata import config_text
from ..export.packages import need
from ..export.pipeline import given_sizes
from ..tasks import task_of
from .common import read_config
from .infer import build_inferencer
from .infer import parse as parse_infer
from .options import export_parser


def main(argv: Sequence[str] | None = None) -> None:
    """`export CONFIG CHECKPOINT --format FORMAT --size H W [H W ...] [flags]`."""
    args = export_parser().parse_args(argv)
    check_checkpoint('CHECKPOINT', args.checkpoint)
    folder = Path(args.out_dir or f'work_dirs/{Path(args.config).stem}/export')
    check_writable('--out-dir', folder)
    if args.format == 'onnx':
        for package in ('onnx', 'onnxscript', 'onnxruntime'):
            need(package, '--format=onnx')
    elif args.dtype == 'int8':
        raise ConfigError('--dtype=int8 quantizes ONNX files only; use --format onnx')
    cfg = read_config(args.config, args.cfg_options, ['model', 'test_dataloader'])
    task = task_of(cfg)
    if args.part == 'model' and task.exported_model is None:
        raise ConfigError(f'a {task.name} cannot be exported; its backbone can: --part backbone')
    settings = Settings(
        format=args.format,
        sizes=given_sizes(args.size, cfg, task),
        part=args.part,
        raw=args.raw,
        dtype=args.dtype,
        image=Path(args.image) if args.image else None,
        stem=Path(args.config).stem,
        checkpoint=Path(args.checkpoint).name,
        scope=cfg.default_scope,
        config=config_text(cfg),
    )
    model_cfg = copy.deepcopy(cfg.model)
    flags = parse_infer([args.config, args.checkpoint, 'INPUT', '--device', 'cpu'])
    model = build_inferencer(cfg, flags).model
    exporter = Exporter(model, model_cfg, task, settings)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix='.export-') as draft:
        for line in exporter.export_all(Path(draft)):
            print(line, flush=True)
        # Weights move before the file that refers to them.
        for path in sorted(Path(draft).iterdir(), key=lambda p: p.suffix != '.data'):
            target = folder / path.name
            os.replace(path, target)
            print(f'wrote {target} ({target.stat().st_size / 1e6:.1f} MB)')
