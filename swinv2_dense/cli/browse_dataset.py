"""Behind tools/browse_dataset.py: augmented samples as pictures, as the model will be given them.

Beside the image with its objects stands its semantic map, if the pipeline loads one. Padding to
batches is the model's (`data_preprocessor`) and is not shown. Of a video, frames of the view in
the middle stand side by side. Images are (H, W, 3) uint8 RGB.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import set_random_seed
from mmengine.utils import track_iter_progress

from ..checks.files import check_files
from ..checks.paths import check_writable
from ..checks.pixel_limit import use_flag
from ..drawing.sheet import write_picture
from ..errors import ConfigError
from ..resilience.unreadable_samples import guard_dataset
from ..tasks import task_of
from ..training.image_check import check_images
from .common import check_config, read_config
from .options import browse_dataset_parser

SMALLEST = 512  # pixels; smaller images are enlarged, or their labels would hide them
IGNORED = 255  # of semantic maps
FRAMES = 8  # of a clip, at most
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
TITLE = 28  # pixels, height of the line above a picture


def main(argv: Sequence[str] | None = None) -> None:
    """Draw samples of a data set: `browse_dataset.py CONFIG [flags]`."""
    args = browse_dataset_parser().parse_args(argv)
    use_flag(args)
    folder = Path(args.output_dir or f'work_dirs/{Path(args.config).stem}/browse_{args.split}')
    check_writable('--output-dir', folder)
    cfg = read_config(args.config, args.cfg_options, [f'{args.split}_dataloader'])
    if args.number < 1:
        raise ConfigError(f'--number {args.number} must be at least 1')
    task = task_of(cfg)
    dataset = build_dataset(cfg, args.split)
    folder.mkdir(parents=True, exist_ok=True)
    number = min(args.number, len(dataset))
    indices = sorted(random.Random(args.seed).sample(range(len(dataset)), number))
    for index in track_iter_progress(indices):
        set_random_seed(args.seed + index)  # a sample looks the same whichever others are drawn
        sample = dataset[index]
        path = str(sample['data_samples'].get('img_path') or _video(dataset, index))
        height, width = sample['inputs'].shape[-2:]
        caption = f'{Path(path).name}  {width} x {height}'
        picture = task.draw_sample(sample, dataset.metainfo, caption)
        write_picture(folder / f'{index:06d}_{Path(path).stem}.png', picture)
    print(f'\nWrote {number} of {len(dataset)} samples ({args.split}) to {folder}')


def build_dataset(cfg: Config, split: str) -> Any:
    """The data set of a split, with all its files present.

    Raises:
        ConfigError: The config has no such split, or something is missing or does not fit.
    """
    task, loader = task_of(cfg), f'{split}_dataloader'
    if not (cfg.get(loader) or {}).get('dataset'):
        raise ConfigError(f'{cfg.filename} has no {loader}.dataset')
    loaders = {name: cfg.get(name) for name in LOADERS}
    check_config({'default_scope': cfg.default_scope, **loaders}, (split,))
    init_default_scope(cfg.default_scope)
    settings = copy.deepcopy(cfg[loader].dataset)
    task.prepare_dataset(settings, split)
    try:
        dataset = DATASETS.build(settings)
    except (AssertionError, ImportError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f'{loader}.dataset cannot be built: {error}') from error
    check_files(loader, dataset)
    check_images(loader, dataset, print)
    task.check_dataset(loader, dataset, print)
    guard_dataset(dataset, loader)
    if not len(dataset):
        raise ConfigError(f'{loader}.dataset is empty; see its ann_file, metainfo and filter_cfg')
    return dataset


def _video(dataset: Any, index: int) -> str:
    info = dataset.get_data_info(index)
    return info.get('filename') or info.get('frame_dir') or ''
