"""Behind tools/infer.py: predictions for files, folders and patterns, for all three libraries.

Below the output folder lie `predictions/NAME.json` and for mmseg `label_maps/NAME.png`. NAME is the
path of the input, with its suffix, below the folder that all inputs share, so that no two are
alike. `pictures` holds a picture under the name of the input itself, as JPEG or PNG, of a video as
MP4; see `drawing.files.picture_names`.
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
from ..inference.base import CheckedInferencer
from ..inference.outputs import KINDS, Outputs
from ..inference.video_files import UnreadableError, is_moving
from ..own_data.class_folders import VIDEO_SUFFIXES
from ..own_data.class_names import read_class_names
from ..preparation.report import progress
from ..tasks import task_of
from .common import check_config, read_config
from .options import infer_parser

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif', '.tiff', '.webp', '.gif')


def main(argv: Sequence[str] | None = None) -> None:
    """Predict for files: `infer.py CONFIG CHECKPOINT INPUT... [flags]`.

    Exits with status 1 if inputs were skipped because they cannot be read.
    """
    args = infer_parser().parse_args(argv)
    check_checkpoint('CHECKPOINT', args.checkpoint)
    use_flag(args)
    folder = Path(args.out_dir or f'work_dirs/{Path(args.config).stem}/infer')
    check_writable('--out-dir', folder)
    cfg = _read_config(args)
    is_video = task_of(cfg).is_video
    suffixes = ('.gif', *VIDEO_SUFFIXES) if is_video else IMAGE_SUFFIXES + VIDEO_SUFFIXES
    files = find_inputs(args.inputs, suffixes, folder)
    if others := other_files(args.inputs, suffixes, folder):
        print(f'not taken: {others}', file=sys.stderr)
    inferencer = build_inferencer(cfg, args)
    skipped = 0
    outputs = list(map(partial(Outputs, folder), names_below(files), _pictures(files, is_video)))
    for file, output in progress(zip(files, outputs), 'inputs', len(files)):
        try:
            inferencer.process(file, output)
        except UnreadableError as error:
            skipped += 1
            print(f'skipped {file}: {error}', file=sys.stderr)
    done = len(files) - skipped
    print(f'{done} of {len(files)} inputs done, {skipped} skipped; results are in {folder}')
    if skipped:
        sys.exit(1)


def _read_config(args: argparse.Namespace) -> Config:
    """The config, or an error that points to one that does not read the dataset.

    A config that reads its classes from the training data fails where that is not at hand; the
    one that training saves holds the classes.
    """
    try:
        return read_config(args.config, args.cfg_options, ['model', 'test_dataloader'])
    except ConfigError as error:
        saved = saved_config(args.checkpoint, args.config)
        if isinstance(error.__cause__, (ConfigError, OSError)) and saved:
            raise ConfigError(
                f'{error} Or give {saved}, which training saved beside the checkpoint: it does '
                'not read the dataset.'
            ) from error
        raise


def find_inputs(inputs: Sequence[str], suffixes: tuple[str, ...], out: Path) -> list[Path]:
    """The files that arguments name, each once, in the order of the arguments.

    An argument is a file, a folder, searched at any depth for names that end in one of
    `suffixes` in any case, or a pattern (`*`, `?`, `[...]`, `**`) of both. Searching finds neither
    hidden files nor what an earlier run wrote to `out`, which may lie in a searched folder or be
    one.

    Raises:
        ConfigError: An argument names nothing, or what results would be mixed with.
    """
    results = _results(out)
    files = {}
    for given in inputs:
        is_named = os.path.exists(given)
        paths = [given] if is_named else sorted(glob.glob(given, recursive=True))
        if not paths:
            raise ConfigError(f'input {given!r}: there is no such file or folder, and no match')
        if is_named and any(is_within(given, folder) for folder in results):
            raise ConfigError(
                f'input {given!r} is where --out-dir={str(out)!r} puts its results; choose another '
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
            raise ConfigError(f'input {given!r}: no file in it ends in {", ".join(suffixes)}')
        for path in found:
            files.setdefault(os.path.abspath(path), Path(path))
    return list(files.values())


def _results(out: Path) -> list[str]:
    """The folders of results below the output folder that are there."""
    return [str(out / kind) for kind in KINDS if (out / kind).is_dir()]


def _refuse_to_mix(searched: str, results: Sequence[str], suffixes: tuple[str, ...]) -> None:
    """Each result has its prediction: without any, files in a folder of results are the user's."""
    if any(os.path.basename(folder) == KINDS[0] for folder in results):
        return
    for folder in results:
        is_used = any(name.lower().endswith(suffixes) for name in files_below(folder))
        if is_used and is_within(folder, searched):
            raise ConfigError(
                f'{folder} holds files already, and results would be put there; choose another '
                '--out-dir'
            )


def other_files(inputs: Sequence[str], suffixes: tuple[str, ...], out: Path) -> str:
    """How many files in folders are not inputs, by suffix: '3 .heic, 1 .txt'; '' for none."""
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
    """Name of each file's picture below `pictures`."""

    def suffix(file: str) -> str:
        return '.mp4' if are_clips or is_moving(Path(file)) else picture_suffix(file)

    return picture_names(files, suffix)


def build_inferencer(cfg: Config, args: argparse.Namespace) -> CheckedInferencer:
    """The task's inferencer, with the weights of the checkpoint.

    Raises:
        ConfigError: Something in the config or the arguments does not fit.
        CheckpointError: See `CheckedInferencer`.
    """
    cfg.load_from = args.checkpoint
    without_sharding(cfg)
    task = task_of(cfg)
    check_config(cfg, ())
    datasets = dict(datasets_of('test', (cfg.get('test_dataloader') or {}).get('dataset')))
    if not datasets:
        raise ConfigError(f'{args.config} has no test_dataloader.dataset, whose pipeline is used')
    cfg.test_dataloader.dataset = next(iter(datasets.values()))
    classes = read_class_names(args.classes) if args.classes else None
    return task.build_inferencer(cfg, _device(args.device), classes, args.score_thr)


def _device(name: str | None) -> str:
    name = name or get_device()
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition('\n')[0]
        raise ConfigError(f'--device={name!r} cannot be used: {reason}') from error
    return name
