"""Predict for files, folders and patterns, whatever the task.

The output folder gets `predictions/NAME.json` and, for mmseg, `label_maps/NAME.png`. NAME is the
path of the input, with its suffix, relative to the deepest common folder of all inputs, so names
are unique. `pictures` gets a JPEG or PNG named like the input, or an MP4 for a video; see
`drawing.files.picture_names`.
"""

from __future__ import annotations

import argparse
import glob
import os
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import get_device

from ..checks.files import files_below, is_within
from ..checks.paths import check_checkpoint, check_writable, saved_config
from ..checks.pixel_limit import use_flag
from ..config_parts import datasets_of
from ..distributed.strategy import without_sharding
from ..drawing.files import names_below, picture_names, picture_suffix
from ..errors import ConfigError
from ..export.model import refuse_for_exported, use_exported
from ..export.reading import is_exported
from ..inference.base import CheckedInferencer
from ..inference.outputs import KINDS, Outputs
from ..inference.video_files import is_moving
from ..own_data.class_folders import VIDEO_SUFFIXES
from ..own_data.class_names import read_class_names
from ..preparation.report import progress
from ..tasks import task_of
from .common import check_config, read_config, use_views
from .config_of_checkpoint import config_of_checkpoint
from .options import infer_parser

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif', '.tiff', '.webp', '.gif')


def main(argv: Sequence[str] | None = None) -> None:
    """`infer [CONFIG] CHECKPOINT INPUT... [flags]`.

    Exits with status 1 if inputs were skipped because they cannot be read.
    """
    args = parse(argv)
    check_checkpoint('CHECKPOINT', args.checkpoint)
    use_flag(args)
    folder = Path(args.out_dir or f'work_dirs/{Path(args.config or args.checkpoint).stem}/infer')
    check_writable('--out-dir', folder)
    cfg = read_model_config(args)
    task = task_of(cfg)
    takes_clips = task.takes_clips(cfg)
    if args.export:  # raises if the task has none
        task.export_predictions([], folder, [], [])
    suffixes = ('.gif', *VIDEO_SUFFIXES) if takes_clips else IMAGE_SUFFIXES + VIDEO_SUFFIXES
    files = find_inputs(args.inputs, suffixes, folder)
    if others := other_files(args.inputs, suffixes, folder):
        print(f'ignored files: {others}', file=sys.stderr)
    inferencer = build_inferencer(cfg, args)
    skipped = 0
    outputs = map(partial(Outputs, folder), names_below(files), _pictures(files, takes_clips))
    results = inferencer.process_all(zip(files, outputs))
    for file, error in progress(results, 'inputs', len(files)):
        if error is not None:
            skipped += 1
            print(f'skipped {file}: {error}', file=sys.stderr)
    if args.export:
        classes = inferencer.model.dataset_meta['classes']
        for path in task.export_predictions(args.export, folder, names_below(files), classes):
            print(f'wrote {path}')
    done = len(files) - skipped
    print(f'{done} of {len(files)} inputs done, {skipped} skipped. Results are in {folder}')
    if skipped:
        sys.exit(1)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments; a first one that does not end in .py is the checkpoint.

    Raises:
        ConfigError: A config and a checkpoint, but no input.
    """
    args = infer_parser().parse_intermixed_args(argv)
    if args.config is None and args.checkpoint.endswith('.py'):
        raise ConfigError(
            f'{args.checkpoint} is a config and {args.inputs[0]} the checkpoint, but no INPUT is '
            'given; the order is CONFIG CHECKPOINT INPUT'
        )
    if args.config is not None and not args.config.endswith('.py'):
        args.inputs.insert(0, args.checkpoint)
        args.config, args.checkpoint = None, args.config
    return args


def read_model_config(args: argparse.Namespace) -> Config:
    """Read the config; an error points to the saved config, if there is one.

    A config that reads its classes from the training data fails where the data is missing; the
    config that training saved contains the classes.
    """
    parts = ['model', 'test_dataloader']
    if args.config is None:
        cfg, args.config = config_of_checkpoint(args.checkpoint, args.cfg_options, parts)
        print(f'config: {args.config}')
        return cfg
    try:
        return read_config(args.config, args.cfg_options, parts)
    except ConfigError as error:
        saved = saved_config(args.checkpoint, args.config)
        if isinstance(error.__cause__, (ConfigError, OSError)) and saved:
            raise ConfigError(
                f'{error} Or use {saved}, which training saved next to the checkpoint: it does '
                'not read the dataset.'
            ) from error
        raise


def find_inputs(inputs: Sequence[str], suffixes: tuple[str, ...], out: Path) -> list[Path]:
    """The input files, without duplicates, in the order of the arguments.

    An argument is a file, a folder, or a pattern (`*`, `?`, `[...]`, `**`) of both. Folders are
    searched at any depth for names with one of `suffixes`, in any case. The search skips hidden
    files and the results of earlier runs in `out`, which may be a searched folder or inside one.

    Raises:
        ConfigError: An argument matches nothing, or results would be mixed with its files.
    """
    results = _results(out)
    files = {}
    for given in inputs:
        is_named = os.path.exists(given)
        paths = [given] if is_named else sorted(glob.glob(given, recursive=True))
        if not paths:
            raise ConfigError(f'input {given!r}: no such file or folder, and no match')
        if is_named and any(is_within(given, folder) for folder in results):
            raise ConfigError(
                f'input {given!r} is in the results of --out-dir={str(out)!r}; choose another '
                '--out-dir'
            )
        found = []
        for path in paths:
            if not is_named and any(is_within(path, folder) for folder in results):
                continue
            if os.path.isdir(path):
                _refuse_to_mix(path, results, suffixes)
                names = sorted(files_below(path, results))
                found += [os.path.join(path, n) for n in names if n.lower().endswith(suffixes)]
            else:
                found.append(path)
        if not found:
            raise ConfigError(f'input {given!r} has no files that end in {", ".join(suffixes)}')
        for path in found:
            files.setdefault(os.path.abspath(path), Path(path))
    return list(files.values())


def _results(out: Path) -> list[str]:
    """The existing folders of results in the output folder."""
    return [str(out / kind) for kind in KINDS if (out / kind).is_dir()]


def _refuse_to_mix(searched: str, results: Sequence[str], suffixes: tuple[str, ...]) -> None:
    """Every result has a prediction; without any, files in a folder of results are the user's."""
    if any(os.path.basename(folder) == KINDS[0] for folder in results):
        return
    for folder in results:
        is_used = any(name.lower().endswith(suffixes) for name in files_below(folder))
        if is_used and is_within(folder, searched):
            raise ConfigError(
                f'{folder} has files that are not results, and results would be written there; '
                'choose another --out-dir'
            )


def other_files(inputs: Sequence[str], suffixes: tuple[str, ...], out: Path) -> str:
    """Files in folders that are not inputs, by suffix: '3 .heic, 1 .txt'; '' for none."""
    matches = (path for given in inputs for path in glob.glob(given, recursive=True))
    folders = [path for path in matches if os.path.isdir(path)]
    if out.is_dir():
        folders = [path for path in folders if not is_within(path, str(out))]
    folders += filter(os.path.isdir, inputs)
    results = [*_results(out), *([str(out)] if out.is_dir() else [])]
    files = {os.path.abspath(os.path.join(f, n)) for f in folders for n in files_below(f, results)}
    others = (path for path in files if not path.lower().endswith(suffixes))
    counts = Counter(os.path.splitext(path)[1].lower() or 'without suffix' for path in others)
    order = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ', '.join(f'{count} {suffix}' for suffix, count in order)


def _pictures(files: Sequence[Path], are_clips: bool) -> list[str]:
    """The name of each file's picture."""

    def suffix(file: str) -> str:
        return '.mp4' if are_clips or is_moving(Path(file)) else picture_suffix(file)

    return picture_names(files, suffix)


def build_inferencer(cfg: Config, args: argparse.Namespace) -> CheckedInferencer:
    """The task's inferencer, with the weights of the checkpoint.

    Raises:
        ConfigError: The config or the arguments cannot work.
        CheckpointError: See `CheckedInferencer`.
    """
    exported = is_exported(args.checkpoint)
    if exported:
        refuse_for_exported(args)
    cfg.load_from = None if exported else args.checkpoint
    without_sharding(cfg)
    task = task_of(cfg)
    check_config(cfg, ())
    datasets = dict(datasets_of('test', (cfg.get('test_dataloader') or {}).get('dataset')))
    if not datasets:
        raise ConfigError(f'{args.config} has no test_dataloader.dataset, whose pipeline is needed')
    cfg.test_dataloader.dataset = next(iter(datasets.values()))
    cfg.test_dataloader.batch_size = args.batch_size
    use_views(cfg, args)
    if exported:
        for line in use_exported(cfg, args.checkpoint, task.exported_model):
            print(line)
    classes = read_class_names(args.classes) if args.classes else None
    inferencer = task.build_inferencer(
        cfg, _device('cpu' if exported else args.device), classes, args.score_thr
    )
    inferencer.with_pictures = not args.no_pictures
    if not args.slice:  # which fill the batch themselves
        inferencer.batch_size = args.batch_size
    if args.amp:
        inferencer.use_amp(task.model_hooks)
    return inferencer


def _device(name: str | None) -> str:
    name = name or get_device()
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition('\n')[0]
        raise ConfigError(f'--device={name!r} cannot be used: {reason}') from error
    return name
