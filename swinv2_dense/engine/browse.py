"""Behind tools/browse_dataset.py: augmented samples as pictures, as the model will be given them.

Beside the image with its objects stands its semantic map, if the pipeline loads one. Padding to
batches is the model's (`data_preprocessor`) and is not shown. Of a video stand frames of its first
view side by side. Images are (H, W, 3) uint8 RGB.
"""

from __future__ import annotations

import argparse
import copy
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, DictAction
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import set_random_seed
from mmengine.utils import track_iter_progress

from ..checks.pixel_limit import add_flag, use_flag
from ..config_parts import datasets_of
from ..errors import ConfigError
from .command_line import read_config
from .data_faults import guard
from .hooks import check_files
from .preflight import check_config

SMALLEST = 512  # pixels; smaller images are enlarged, or their labels would hide them
IGNORED = 255  # of semantic maps
FRAMES = 8  # of a clip, at most
TITLE = 28  # pixels, height of the line above a picture


def browse(argv: Sequence[str] | None = None) -> None:
    """Draw samples of a data set: `browse_dataset.py CONFIG [flags]`."""
    args = _parser().parse_args(argv)
    use_flag(args)
    cfg = read_config(args.config, args.cfg_options)
    if args.number < 1:
        raise ConfigError(f'--number {args.number} must be at least 1')
    dataset = build_dataset(cfg, args.split)
    folder = Path(args.output_dir or f'work_dirs/{Path(args.config).stem}/browse_{args.split}')
    folder.mkdir(parents=True, exist_ok=True)
    number = min(args.number, len(dataset))
    indices = sorted(random.Random(args.seed).sample(range(len(dataset)), number))
    for index in track_iter_progress(indices):
        set_random_seed(args.seed + index)  # a sample looks the same whichever others are drawn
        sample = dataset[index]
        path = str(sample['data_samples'].get('img_path') or _video(dataset, index))
        height, width = sample['inputs'].shape[-2:]
        panels = PANELS[cfg.default_scope](sample, dataset.metainfo)
        title = f'{Path(path).name}  {width} x {height}{_label(sample, dataset.metainfo)}'
        picture = titled(panels, title)
        _write(folder / f'{index:06d}_{Path(path).stem}.png', picture)
    print(f'\nWrote {number} of {len(dataset)} samples ({args.split}) to {folder}')


def build_dataset(cfg: Config, split: str) -> Any:
    """The data set of a split, with all its files present.

    Raises:
        ConfigError: The config has no such split, or something is missing or does not fit.
    """
    loader = f'{split}_dataloader'
    if not (cfg.get(loader) or {}).get('dataset'):
        raise ConfigError(f'{cfg.filename} has no {loader}.dataset')
    check_config({'default_scope': cfg.default_scope, loader: cfg[loader]}, (split,))
    if cfg.default_scope == 'mmdet':
        import swinv2_dense.det  # noqa: F401
    elif cfg.default_scope == 'mmaction':
        import swinv2_dense.video  # noqa: F401
    init_default_scope(cfg.default_scope)
    settings = copy.deepcopy(cfg[loader].dataset)
    if cfg.default_scope == 'mmdet':
        for _, part in datasets_of(split, settings):
            part.pipeline = annotated_first(part.pipeline)
    try:
        dataset = DATASETS.build(settings)
    except (AssertionError, ImportError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f'{loader}.dataset cannot be built: {error}') from error
    check_files(loader, dataset)
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


def detection_panels(sample: dict, metainfo: dict) -> list[np.ndarray]:
    """Image with boxes, masks and class names; semantic map with its numbers, by mmdet."""
    from mmdet.structures import DetDataSample
    from mmdet.visualization import DetLocalVisualizer, get_palette

    image, data = _image(sample), sample['data_samples']
    factor = _enlargement(image)
    image = _enlarged(image, factor)
    visualizer = DetLocalVisualizer(alpha=0.5, line_width=2)
    visualizer.dataset_meta = _with_colors(metainfo, get_palette)
    objects = DetDataSample()
    if len(data.gt_instances):
        objects.gt_instances = _plain(data.gt_instances, factor)
    visualizer.add_datasample('objects', image, objects, draw_pred=False)
    if len(data.ignored_instances):
        boxes = _plain(data.ignored_instances, factor).bboxes
        visualizer.draw_bboxes(boxes, edge_colors='white', line_styles='--')
        visualizer.draw_texts(['ignored'] * len(boxes), boxes[:, :2] + 2, colors='white')
    panels = [visualizer.get_image()]
    if 'gt_sem_seg' in data:
        labels = _enlarged(data.gt_sem_seg.sem_seg[0].numpy(), factor)
        names = [str(label) for label in range(IGNORED + 1)]
        visualizer.dataset_meta = dict(classes=names, palette=get_palette('random', len(names)))
        seg = DetDataSample(gt_sem_seg=_pixel_data(sem_seg=labels))
        visualizer.add_datasample('map', image, seg, draw_pred=False)
        panels.append(hatched(visualizer.get_image(), image, labels == IGNORED))
    return panels


def segmentation_panels(sample: dict, metainfo: dict) -> list[np.ndarray]:
    """Image; semantic map with class names, by mmseg."""
    from mmseg.structures import SegDataSample
    from mmseg.visualization import SegLocalVisualizer

    image, data = _image(sample), sample['data_samples']
    factor = _enlargement(image)
    image = _enlarged(image, factor)
    if 'gt_sem_seg' not in data:
        return [image]
    labels = _enlarged(data.gt_sem_seg.data[0].numpy(), factor)
    visualizer = SegLocalVisualizer(alpha=0.6)
    visualizer.dataset_meta = metainfo
    seg = SegDataSample(gt_sem_seg=_pixel_data(data=labels))
    visualizer.add_datasample('map', image, seg, draw_pred=False)
    return [image, hatched(visualizer.get_image(), image, labels == IGNORED)]


def clip_panels(sample: dict, metainfo: dict) -> list[np.ndarray]:
    """Frames of the first view, from the first to the last."""
    inputs = sample['inputs']  # views of (C, T, H, W), or frames (C, H, W)
    frames = inputs[0].movedim(1, 0) if inputs.dim() == 5 else inputs
    chosen = np.linspace(0, len(frames) - 1, min(len(frames), FRAMES)).round().astype(int)
    pixels = frames[chosen].movedim(1, -1).clip(0, 255).to(torch.uint8).numpy()
    factor = max(1, SMALLEST // 4 // max(pixels.shape[1:3]))
    return [_enlarged(frame, factor) for frame in pixels]


PANELS = {'mmdet': detection_panels, 'mmseg': segmentation_panels, 'mmaction': clip_panels}


def _video(dataset: Any, index: int) -> str:
    return dataset.get_data_info(index).get('filename', '')


def _label(sample: dict, metainfo: dict) -> str:
    """The class of a video; images show theirs."""
    labels = getattr(sample['data_samples'], 'gt_label', None)
    if labels is None:
        return ''
    classes = metainfo.get('classes') or ()
    names = [classes[i] if 0 <= i < len(classes) else str(i) for i in labels.tolist()]
    return '  ' + ', '.join(names)


def _image(sample: dict) -> np.ndarray:
    pixels = sample['inputs'].permute(1, 2, 0).numpy()
    return np.ascontiguousarray(pixels[..., ::-1].clip(0, 255).astype(np.uint8))


def _enlargement(image: np.ndarray) -> int:
    return max(1, SMALLEST // max(image.shape[:2]))


def _enlarged(pixels: np.ndarray, factor: int) -> np.ndarray:
    """(H, W, ...) -> (factor * H, factor * W, ...), each pixel a square."""
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def _plain(instances: Any, factor: int) -> Any:
    """Instances in tensors and arrays, which the visualizer takes."""
    instances = instances.clone()
    boxes = instances.bboxes
    instances.bboxes = getattr(boxes, 'tensor', boxes) * factor
    if 'masks' in instances:
        masks = instances.masks.to_ndarray().astype(bool)
        instances.masks = masks.repeat(factor, axis=1).repeat(factor, axis=2)
    return instances


def _pixel_data(**maps: np.ndarray) -> Any:
    from mmengine.structures import PixelData

    return PixelData(**{name: torch.from_numpy(labels[None]) for name, labels in maps.items()})


def _with_colors(metainfo: dict, get_palette: Any) -> dict:
    """A data set with classes of its own may have more of them than inherited colours."""
    classes, palette = metainfo.get('classes') or (), metainfo.get('palette')
    if isinstance(palette, (list, tuple)) and len(palette) >= len(classes):
        return metainfo
    return {**metainfo, 'palette': get_palette('random', len(classes))}


def hatched(drawn: np.ndarray, image: np.ndarray, ignored: np.ndarray) -> np.ndarray:
    """`drawn`, with the image in grey stripes where the (H, W) bool mask `ignored` is true."""
    stripes = np.add(*np.indices(ignored.shape)) // 6 % 2 * 50 + 60
    striped = image // 3 + stripes[..., None].astype(np.uint8)
    return np.where(ignored[..., None], striped, drawn)


def titled(panels: list[np.ndarray], title: str) -> np.ndarray:
    """Panels side by side below a line of text, which makes the picture wider where it must."""
    import cv2

    row = np.concatenate(panels, axis=1)
    font = dict(fontFace=cv2.FONT_HERSHEY_SIMPLEX, fontScale=0.55, thickness=1)
    (needed, _), _ = cv2.getTextSize(title, **font)
    width = max(row.shape[1], needed + 16)
    picture = np.full((TITLE + row.shape[0], width, 3), 255, np.uint8)
    picture[TITLE:, : row.shape[1]] = row
    return cv2.putText(
        picture, title, (8, TITLE - 9), color=(0, 0, 0), lineType=cv2.LINE_AA, **font
    )


def _write(path: Path, picture: np.ndarray) -> None:
    import cv2

    if not cv2.imwrite(str(path), picture[..., ::-1]):
        raise OSError(f'{path}: OpenCV could not write this picture')


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description='Draw samples of a data set as its pipeline augments them.'
    )
    parser.add_argument('config', metavar='CONFIG', help='config file')
    parser.add_argument('--output-dir', metavar='DIR', help='default: below work_dirs')
    parser.add_argument('--split', choices=['train', 'val', 'test'], default='train')
    parser.add_argument(
        '--number', type=int, default=16, metavar='N', help='how many samples, drawn at random'
    )
    add_flag(parser)
    parser.add_argument('--seed', type=int, default=0, help='of the choice and the augmentation')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='as in train.py'
    )
    return parser
