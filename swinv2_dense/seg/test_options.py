"""Apply `--tta` and `--out` of test.py to mmseg configs."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

from mmengine.config import Config, ConfigDict

from ..config_parts import as_list, datasets_of, step_names, type_name
from ..errors import ConfigError
from ..task import wrap_for_tta

RATIOS = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)  # of mmseg's datasets, and of Swin's multi-scale test


def use_seg_tta(cfg: Config) -> None:
    """Wrap the model in `tta_model` and set `tta_pipeline` in every dataset of the test loader.

    The defaults are `TiledSegTTAModel`, and the test pipeline with its Resize at six scales, each
    unflipped and flipped. mmseg's default runtime sets `SegTTAModel`, which needs the `seg_logits`
    that `TiledEncoderDecoder` does not keep; there `TiledSegTTAModel` replaces it.

    Raises:
        ConfigError: There is no pipeline, and none can be derived from the test pipeline.
    """
    tta_model = dict(cfg.get('tta_model') or dict(type='TiledSegTTAModel'))
    if type_name(cfg.model) == 'TiledEncoderDecoder' and type_name(tta_model) == 'SegTTAModel':
        tta_model['type'] = 'TiledSegTTAModel'
    given = cfg.get('tta_pipeline')
    wrap_for_tta(cfg, tta_model, lambda key, pipeline: given or _scales_and_flips(pipeline, key))


def _scales_and_flips(pipeline: list, key: str) -> list:
    """The test pipeline with twelve views; without a Resize, of the image as loaded."""
    names = [type_name(step) for step in pipeline]
    unknown = [name for name in names if 'Resize' in name and name != 'Resize']
    if unknown or names.count('Resize') > 1 or 'TestTimeAug' in names:
        raise ConfigError(
            f'--tta: {key}.pipeline has the steps {", ".join(names)}, but default views need one '
            'Resize or none. Set tta_pipeline in the config'
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
    """A Resize step with its size multiplied by `ratio`."""
    key = 'scale_factor' if resize.get('scale_factor') else 'scale'
    given = resize[key]
    numbers = [n * ratio for n in (given if isinstance(given, (list, tuple)) else [given])]
    if key == 'scale':
        numbers = [round(n) for n in numbers]
    return {**resize, key: tuple(numbers) if isinstance(given, (list, tuple)) else numbers[0]}


def write_label_maps(cfg: Config, folder: str) -> None:
    """Make mmseg's metric write label maps in the format of ADE20K's server, one PNG per image.

    They have one channel of 8 bits. With `reduce_zero_label` of the dataset, ids start at 1, as in
    its own maps. A test set is not evaluated if it has no label maps: its `data_prefix` has no
    `seg_map_path`, or its pipeline loads none.

    Raises:
        ConfigError: `folder` is a file.
    """
    if Path(folder).is_file():
        raise ConfigError(f'--out={folder!r} is a file; give a folder')
    settings = dict(output_dir=folder, keep_results=True)  # CityscapesMetric needs the latter
    datasets = [dataset for _, dataset in datasets_of('test', cfg.test_dataloader.dataset)]
    if not all(map(_is_labelled, datasets)):
        settings['format_only'] = True
        for dataset in datasets:
            dataset.pipeline = _without_annotations(dataset.pipeline)
            dataset.get('data_prefix', {}).pop('seg_map_path', None)
    for evaluator in as_list(cfg.test_evaluator):
        evaluator.update(settings)


def _is_labelled(dataset: Mapping) -> bool:
    prefix = dataset.get('data_prefix')
    has_maps = prefix is None or prefix.get('seg_map_path') is not None
    return has_maps and 'LoadAnnotations' in step_names(dataset['pipeline'])


def _without_annotations(steps: list) -> list:
    """A pipeline without LoadAnnotations, also inside TestTimeAug."""
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
