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

import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import set_random_seed
from mmengine.utils import track_iter_progress

from ..checks.config import check_config
from ..checks.files import check_files
from ..checks.paths import check_writable
from ..checks.pixel_limit import use_flag
from ..config_parts import datasets_of
from ..drawing.clips import clip_sheet, evenly, frames_of
from ..drawing.objects import Objects, draw_objects
from ..drawing.regions import IGNORE_INDEX, label_regions, segmentation_sheet, tint_labels
from ..drawing.sheet import displayable, enlargement, sheet, write_picture
from ..drawing.style import Style
from ..errors import ConfigError
from ..resilience.unreadable_samples import guard
from ..seg.check_label_maps import check_label_maps
from ..training.image_check import check_images
from .common import read_config
from .options import browse_dataset_parser

SMALLEST = 512  # pixels; smaller images are enlarged, or their labels would hide them
IGNORED = 255  # of semantic maps
FRAMES = 8  # of a clip, at most
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
TITLE = 28  # pixels, height of the line above a picture


def browse(argv: Sequence[str] | None = None) -> None:
    """Draw samples of a data set: `browse_dataset.py CONFIG [flags]`."""
    args = browse_dataset_parser().parse_args(argv)
    use_flag(args)
    folder = Path(args.output_dir or f'work_dirs/{Path(args.config).stem}/browse_{args.split}')
    check_writable('--output-dir', folder)
    cfg = read_config(args.config, args.cfg_options, [f'{args.split}_dataloader'])
    if args.number < 1:
        raise ConfigError(f'--number {args.number} must be at least 1')
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
        picture = PICTURES[cfg.default_scope](sample, dataset.metainfo, caption)
        write_picture(folder / f'{index:06d}_{Path(path).stem}.png', picture)
    print(f'\nWrote {number} of {len(dataset)} samples ({args.split}) to {folder}')


def build_dataset(cfg: Config, split: str) -> Any:
    """The data set of a split, with all its files present.

    Raises:
        ConfigError: The config has no such split, or something is missing or does not fit.
    """
    loader = f'{split}_dataloader'
    if not (cfg.get(loader) or {}).get('dataset'):
        raise ConfigError(f'{cfg.filename} has no {loader}.dataset')
    loaders = {name: cfg.get(name) for name in LOADERS}
    check_config({'default_scope': cfg.default_scope, **loaders}, (split,))
    init_default_scope(cfg.default_scope)
    settings = copy.deepcopy(cfg[loader].dataset)
    if cfg.default_scope == 'mmdet':
        from ..det.annotation_files import use_repaired

        use_repaired({loader: dict(dataset=settings)}, (split,), print, print)
        for _, part in datasets_of(split, settings):
            part.pipeline = annotated_first(part.pipeline)
    try:
        dataset = DATASETS.build(settings)
    except (AssertionError, ImportError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f'{loader}.dataset cannot be built: {error}') from error
    check_files(loader, dataset)
    check_images(loader, dataset, print)
    if cfg.default_scope == 'mmseg':
        check_label_maps(loader, dataset, print)
    guard(dataset, loader)
    if not len(dataset):
        raise ConfigError(f'{loader}.dataset is empty; see its ann_file, metainfo and filter_cfg')
    return dataset


def annotated_first(pipeline: list) -> list:
    """A pipeline whose annotations follow its image through every step.

    mmdet's test pipelines load them after the image is resized: they are for evaluation, and for
    pictures of predictions, at the size of the original.
    """
    names = [getattr(step.type, '__name__', step.type) for step in pipeline]
    if 'LoadImageFromFile' not in names or 'LoadAnnotations' not in names:
        return pipeline
    image, annotations = names.index('LoadImageFromFile'), names.index('LoadAnnotations')
    if 'Resize' not in names[image:annotations]:
        return pipeline
    steps = list(pipeline)
    steps.insert(image + 1, steps.pop(annotations))
    return steps


def detection_picture(sample: dict, metainfo: dict, caption: str) -> np.ndarray:
    """Image with boxes, masks and class names; its semantic map with the numbers in it."""
    image, data = _image(sample), sample['data_samples']
    factor = enlargement(*image.shape[:2])
    titles = ['truth', 'semantic map'] if 'gt_sem_seg' in data else ['truth']
    picture, views = sheet(image, titles, caption, factor)
    objects, ignored = (
        Objects.of(found) if len(found) else None
        for found in (data.gt_instances, data.ignored_instances)
    )
    draw_objects(views[0], objects, Style.of(metainfo), factor, ignored=ignored)
    if 'gt_sem_seg' in data:
        labels = data.gt_sem_seg.sem_seg[0].numpy()
        numbers = Style([str(label) for label in range(IGNORE_INDEX)])
        tint_labels(views[1], labels, numbers, factor)
        label_regions(views[1], labels, numbers)
    return picture


def segmentation_picture(sample: dict, metainfo: dict, caption: str) -> np.ndarray:
    """Image; label map with a legend."""
    image, data = _image(sample), sample['data_samples']
    maps = {'truth': data.gt_sem_seg.data[0].numpy()} if 'gt_sem_seg' in data else {}
    return segmentation_sheet(image, maps, Style.of(metainfo), caption, with_image=True)


def clip_picture(sample: dict, metainfo: dict, caption: str) -> np.ndarray:
    """Frames of the view in the middle, from the first to the last."""
    style, labels = Style.of(metainfo), getattr(sample['data_samples'], 'gt_label', None)
    truth = [] if labels is None else [style.name(int(label)) for label in labels.reshape(-1)]
    frames = frames_of(sample['inputs'])
    return clip_sheet([displayable(frames[i]) for i in evenly(len(frames))], caption, truth)


PICTURES = {
    'mmdet': detection_picture,
    'mmseg': segmentation_picture,
    'mmaction': clip_picture,
}


def _video(dataset: Any, index: int) -> str:
    info = dataset.get_data_info(index)
    return info.get('filename') or info.get('frame_dir') or ''


def _image(sample: dict) -> np.ndarray:
    """RGB; pipelines pack (3, H, W) BGR."""
    pixels = sample['inputs'].permute(1, 2, 0).numpy()
    return np.ascontiguousarray(displayable(pixels)[..., ::-1])
