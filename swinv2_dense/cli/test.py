"""Test a model: `test.py CONFIG CHECKPOINT [flags]`."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..checks.config import check_config, read_repaired
from ..checks.paths import check_checkpoint, check_writable, check_writable_file
from ..det.tta_config import use_tta
from ..distributed.strategy import without_sharding
from ..errors import ConfigError
from ..resilience.unreadable_samples import skip_unreadable
from ..seg.test_options import use_seg_tta, write_label_maps
from ..training.prefetch import prefetch
from ..training.terminal import log_prints, quiet_start
from .common import build_runner, load_config
from .options import test_parser

TESTING = (  # top-level keys that a test reads
    *('model', 'data_preprocessor', 'test_dataloader', 'test_evaluator', 'test_cfg', 'tta_model'),
    *('tta_pipeline', 'default_hooks', 'custom_hooks', 'visualizer', 'log_processor', 'env_cfg'),
    *('randomness', 'strategy'),
)


def test(argv: Sequence[str] | None = None) -> None:
    """Test a model: `test.py CONFIG CHECKPOINT [flags]`."""
    args = test_parser().parse_args(argv)
    check_checkpoint('CHECKPOINT', args.checkpoint)
    for argument, file in (('--out', args.out), ('--dump', args.dump)):
        if file and file.endswith(('.pkl', '.pickle')):
            check_writable_file(argument, file)
        elif file:
            check_writable(argument, file)
    if args.show_dir:
        check_writable('--show-dir', args.show_dir)
    cfg = load_config(args, TESTING)
    without_sharding(cfg)
    cfg.load_from = args.checkpoint
    if args.amp:
        cfg.test_cfg.fp16 = True  # mmengine's autocast: fp16, on the CPU bf16
    if args.show or args.show_dir:
        from ..drawing.options import draw_predictions  # with matplotlib

        folder = os.path.abspath(args.show_dir) if args.show_dir else None
        draw_predictions(cfg, folder, args.interval, args.show, args.wait_time)
    if args.tta:
        (use_seg_tta if cfg.default_scope == 'mmseg' else use_tta)(cfg)
    pickled = args.dump
    if args.out and args.out.endswith(('.pkl', '.pickle')):
        pickled = args.out
    elif args.out and cfg.default_scope == 'mmseg':
        write_label_maps(cfg, args.out)
    elif args.out:
        raise ConfigError(f'--out={args.out!r} must end in .pkl (a folder is for mmseg configs)')
    if args.skip_unreadable:
        skip_unreadable(cfg)
    check_config(cfg, ('test',))
    prefetch(cfg, training=False)
    with quiet_start():
        runner = build_runner(cfg)
        read_repaired(runner, ('test',))
        if pickled:
            runner.test_evaluator.metrics.append(_dump_metric(cfg.default_scope, pickled))
        log_prints()
        runner.test()


def _dump_metric(scope: str, path: str) -> object:
    if scope == 'mmdet':
        from mmdet.evaluation import DumpDetResults

        return DumpDetResults(out_file_path=path)
    from mmengine.evaluator import DumpResults

    return DumpResults(out_file_path=path)
