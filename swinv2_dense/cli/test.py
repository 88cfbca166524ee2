"""Test a model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..checks.paths import check_checkpoint, check_writable, check_writable_file
from ..distributed.strategy import without_sharding
from ..export.model import check_classes, refuse_for_exported, use_exported
from ..export.reading import is_exported
from ..reports.hook import ReportHook
from ..reports.page import check_folder
from ..resilience.unreadable_samples import skip_unreadable
from ..tasks import task_of
from ..training.prefetch import prefetch
from ..training.terminal import log_prints, quiet_start
from .common import build_runner, check_config, load_config, use_views
from .options import test_parser

TESTING = (  # top-level keys that a test uses
    *('model', 'data_preprocessor', 'test_dataloader', 'test_evaluator', 'test_cfg', 'tta_model'),
    *('tta_pipeline', 'default_hooks', 'custom_hooks', 'visualizer', 'log_processor', 'env_cfg'),
    *('randomness', 'strategy'),
)


def main(argv: Sequence[str] | None = None) -> None:
    """`test CONFIG CHECKPOINT [flags]`."""
    args = test_parser().parse_args(argv)
    check_checkpoint('CHECKPOINT', args.checkpoint)
    for argument, file in (('--out', args.out), ('--dump', args.dump)):
        if file and file.endswith(('.pkl', '.pickle')):
            check_writable_file(argument, file)
        elif file:
            check_writable(argument, file)
    if args.show_dir:
        check_writable('--show-dir', args.show_dir)
    if args.report:
        check_writable('--report', args.report)
        check_folder(Path(args.report))
    exported = is_exported(args.checkpoint)
    if exported:
        refuse_for_exported(args)
    cfg = load_config(args, TESTING)
    task = task_of(cfg)
    without_sharding(cfg)
    cfg.load_from = None if exported else args.checkpoint
    if args.amp:
        cfg.test_cfg.fp16 = True  # mmengine's autocast: fp16 on CUDA, bf16 on the CPU
    if args.show or args.show_dir or args.report:
        task.prepare_drawing(cfg)
    if args.show or args.show_dir:
        from ..drawing.options import draw_predictions  # imports matplotlib

        folder = os.path.abspath(args.show_dir) if args.show_dir else None
        draw_predictions(cfg, task.visualizers, folder, args.interval, args.show, args.wait_time)
    use_views(cfg, args)
    pickled = args.dump
    if args.out and args.out.endswith(('.pkl', '.pickle')):
        pickled = args.out
    elif args.out:
        task.write_predictions(cfg, args.out)
    if args.skip_unreadable:
        skip_unreadable(cfg)
    check_config(cfg, ('test',))
    if exported:
        for line in use_exported(cfg, args.checkpoint, task.exported_model):
            print(line)
    prefetch(cfg, training=False)
    with quiet_start():
        runner = build_runner(cfg)
        task.repair_annotations(runner, ('test',))
        if pickled:
            runner.test_evaluator.metrics.append(task.dump_metric(pickled))
        if args.report:
            reporter = task.build_reporter(runner.test_dataloader.dataset)
            facts = [('Config', args.config), ('Checkpoint', args.checkpoint)]
            runner.register_hook(ReportHook(Path(args.report), reporter, facts), 'LOWEST')
        if exported:
            check_classes(args.checkpoint, runner.test_dataloader.dataset)
        log_prints()
        runner.test()
