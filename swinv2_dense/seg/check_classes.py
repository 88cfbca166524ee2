"""Configs of mmseg: checks, and what test.py's --tta and --out make of them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from ..config_parts import datasets_of, is_local, listed, type_name
from ..det.check_classes import class_heads
from ..errors import ConfigError
from ..training.checkpoint_classes import first_difference

RATIOS = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)  # of mmseg's data sets, and of Swin's multi-scale test


def use_seg_tta(cfg: Config) -> None:
    """Put `tta_model` around the model and `tta_pipeline` into every data set of the test loader.

    What the config lacks: the model is `TiledSegTTAModel`, the pipeline the test pipeline with its
    Resize at six scales, each unflipped and flipped. mmseg's default runtime sets `SegTTAModel`,
    which needs the `seg_logits` that `TiledEncoderDecoder` does not keep; `TiledSegTTAModel`
    takes its place there.

    Raises:
        ConfigError: There is no pipeline, and none can be made of the test pipeline.
    """
    tta_model = dict(cfg.get('tta_model') or dict(type='TiledSegTTAModel'))
    if type_name(cfg.model) == 'TiledEncoderDecoder' and type_name(tta_model) == 'SegTTAModel':
        tta_model['type'] = 'TiledSegTTAModel'
    for key, dataset in datasets_of('test', cfg.test_dataloader.dataset):
        dataset.pipeline = cfg.get('tta_pipeline') or _scales_and_flips(dataset.pipeline, key)
    cfg.model = ConfigDict(**tta_model, module=cfg.model)


def _scales_and_flips(pipeline: list, key: str) -> list:
    """A test pipeline in twelve views; without a Resize, of the image as loaded."""
    names = [type_name(step) for step in pipeline]
    unknown = [name for name in names if 'Resize' in name and name != 'Resize']
    if unknown or names.count('Resize') > 1 or 'TestTimeAug' in names:
        raise ConfigError(
            f'--tta: {key}.pipeline has the steps {", ".join(names)}; views are made of one Resize '
            'or none. Set tta_pipeline in the config'
        )
    steps = copy.deepcopy(list(pipeline))
    if 'Resize' in names:
        at = names.index('Resize')
        resize = steps.pop(at)
    else:
        at, resize = 1, dict(type='Resize', scale_factor=1.0, keep_ratio=True)
    if 'meta_keys' in steps[-1]:
        keys = (*steps[-1]['meta_keys'], 'flip', 'flip_direction')
        steps[-1]['meta_keys'] = tuple(dict.fromkeys(keys))
    flips = [dict(type='RandomFlip', prob=p, direction='horizontal') for p in (0.0, 1.0)]
    views = [[_scaled(resize, ratio) for ratio in RATIOS], flips, *[[step] for step in steps[at:]]]
    return [*steps[:at], dict(type='TestTimeAug', transforms=views)]


def _scaled(resize: Mapping, ratio: float) -> dict:
    """A Resize step to another multiple of its size."""
    key = 'scale_factor' if resize.get('scale_factor') else 'scale'
    given = resize[key]
    numbers = [n * ratio for n in (given if isinstance(given, (list, tuple)) else [given])]
    if key == 'scale':
        numbers = [round(n) for n in numbers]
    return {**resize, key: tuple(numbers) if isinstance(given, (list, tuple)) else numbers[0]}


def write_label_maps(cfg: Config, folder: str) -> None:
    """Let mmseg's metric write its maps as ADE20K's server takes them, one PNG per image.

    One channel of 8 bits. Where the data set has `reduce_zero_label`, ids begin at 1, as in its
    own maps. A test set without label maps is not evaluated: one whose `data_prefix` has no
    `seg_map_path`, or whose pipeline loads none.

    Raises:
        ConfigError: `folder` is a file.
    """
    if Path(folder).is_file():
        raise ConfigError(f'--out={folder!r} is a file; name a folder')
    settings = dict(output_dir=folder, keep_results=True)  # the latter for CityscapesMetric
    datasets = [dataset for _, dataset in datasets_of('test', cfg.test_dataloader.dataset)]
    if not all(map(_is_labelled, datasets)):
        settings['format_only'] = True
        for dataset in datasets:
            dataset.pipeline = _without_annotations(dataset.pipeline)
            dataset.get('data_prefix', {}).pop('seg_map_path', None)
    for evaluator in listed(cfg.test_evaluator):
        evaluator.update(settings)


def _is_labelled(dataset: Mapping) -> bool:
    prefix = dataset.get('data_prefix')
    has_maps = prefix is None or prefix.get('seg_map_path') is not None
    return has_maps and 'LoadAnnotations' in _names(dataset['pipeline'])


def _without_annotations(steps: list) -> list:
    """A pipeline that loads no label maps, also within TestTimeAug."""
    kept = []
    for step in steps:
        if isinstance(step, (list, tuple)):
            step = _without_annotations(step)
        elif type_name(step) == 'LoadAnnotations':
            continue
        elif 'transforms' in step:
            step = ConfigDict({**step, 'transforms': _without_annotations(step['transforms'])})
        if step:
            kept.append(step)
    return kept


def check_segmentation(
    model: Mapping,
    datasets: Iterable[tuple[str, Mapping]],
    others: Iterable[tuple[str, Mapping]] = (),
) -> None:
    """Hold the heads of a segmentor against the classes of mmseg data sets, and find empty ones.

    Args:
        model: Config of the segmentor, alone or within that of test-time augmentation.
        datasets: Key and config of each data set without wrappers.
        others: The same of the datasets of the config that are not used now.

    Raises:
        ConfigError: A head has another number of classes, a dataset has no image or leaves some
            out, or test windows leave gaps.
    """
    from mmseg.datasets import BaseSegDataset
    from mmseg.registry import DATASETS

    from .left_out import Split, check_left_out
    from .tiled_inference import windows

    model = model.get('module', model)
    try:
        windows(model.get('test_cfg') or {}, (1, 1))
    except ValueError as error:
        raise ConfigError(str(error)) from error
    first, splits = None, []
    for key, config in datasets:
        kind = config.get('type')
        kind = DATASETS.get(kind) if isinstance(kind, str) else kind
        if not isinstance(kind, type) or not issubclass(kind, BaseSegDataset):
            continue
        settings = {k: v for k, v in config.items() if k not in ('type', '_scope_')}
        try:
            dataset = kind(**{**settings, 'pipeline': [], 'lazy_init': True})
        except (TypeError, ValueError, AssertionError) as error:
            raise ConfigError(f'{key}: {error}') from error
        classes = dataset.metainfo.get('classes')
        if classes and 'LoadAnnotations' in _names(config.get('pipeline', [])):
            _check_heads(model, key, len(classes))
            first = first or (key, classes)
            _check_equal(first, (key, classes))
        if is_local(dataset.backend_args):
            splits.append(Split(key, dataset, dataset.load_data_list()))
            if not splits[-1].samples:
                raise ConfigError(_empty(key, dataset))
    check_left_out(splits, others)


def _check_heads(model: Mapping, key: str, num_classes: int) -> None:
    wrong = {
        f'{name}.num_classes': head['num_classes']
        for name, head in class_heads(model)
        if head['num_classes'] != num_classes
    }
    if wrong:
        name, number = next(iter(wrong.items()))
        options = ' '.join(f'{name}={num_classes}' for name in wrong)
        raise ConfigError(
            f'{name}={number}, but {key} has {num_classes} classes; set the heads with '
            f'--cfg-options {options}, or metainfo=dict(classes=...) of the data set'
        )


def _check_equal(first: tuple[str, Sequence[str]], second: tuple[str, Sequence[str]]) -> None:
    difference = first_difference(first[1], second[1], (first[0], second[0]))
    if difference:
        raise ConfigError(
            f'{difference}: labels are positions in metainfo.classes, so make the lists identical'
        )


def _empty(key: str, dataset: Any) -> str:
    folder = dataset.data_prefix.get('img_path')
    if dataset.ann_file or not folder:
        return f'{key}.ann_file={dataset.ann_file!r} lists no image'
    suffixes = sorted({path.suffix for path in Path(folder).rglob('*') if path.is_file()})
    wanted = f'ends in img_suffix={dataset.img_suffix!r}'
    if type_name(dict(type=type(dataset))) == 'FolderSegDataset':
        wanted = 'is an image'
    return (
        f'{key}: no file in {folder} {wanted}; there are {", ".join(suffixes[:5]) or "none at all"}'
    )


def _names(steps: Iterable) -> list[str]:
    """The transforms of a pipeline, also those within others."""
    names = []
    for step in steps:
        is_list = isinstance(step, (list, tuple))
        names += [] if is_list else [type_name(step)]
        names += _names(step if is_list else step.get('transforms') or [])
    return names
