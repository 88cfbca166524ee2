"""Draw augmented samples of a dataset, as the model gets them.

The semantic map is next to the image with its objects, if the pipeline loads one. Padding to
batches is not shown, because `data_preprocessor` does it. Of a video, frames of the middle view are
side by side. Images are (H, W, 3) uint8 RGB.
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

from ..checks.files import check_files
from ..checks.paths import check_writable
from ..checks.pixel_limit import use_flag
from ..drawing.sheet import write_picture
from ..errors import ConfigError
from ..preparation.report import progress
from ..resilience.unreadable_samples import guard_dataset
from ..tasks import task_of
from ..training.image_check import check_images
from .common import check_config, read_config
from .options import browse_dataset_parser

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def main(argv: Sequence[str] | None = None) -> None:
    """`browse_dataset CONFIG [flags]`."""
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
    indices = random.Random(args.seed).sample(range(len(dataset)), number)  # noqa: S311  no secret
    for index in progress(sorted(indices), 'samples', number):
        set_random_seed(args.seed + index)  # a sample looks the same whichever others are drawn
        sample = dataset[index]
        path = str(sample['data_samples'].get('img_path') or _video(dataset, index))
        height, width = sample['inputs'].shape[-2:]
        caption = f'{Path(path).name}  {width} x {height}'
        picture = task.draw_sample(sample, dataset.metainfo, caption)
        write_picture(folder / f'{index:06d}_{Path(path).stem}.png', picture)
    print(f'Wrote {number} of {len(dataset)} samples ({args.split}) to {folder}')


def build_dataset(cfg: Config, split: str) -> Any:
    """The dataset of a split, after checks of its files.

    Raises:
        ConfigError: The config has no such split, or a check fails.
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
    if len(dataset) == 0:
        raise ConfigError(f'{loader}.dataset is empty; see its ann_file, metainfo and filter_cfg')
    return dataset


def _video(dataset: Any, index: int) -> str:
    info = dataset.get_data_info(index)
    return info.get('filename') or info.get('frame_dir') or ''
