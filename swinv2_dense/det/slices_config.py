"""Configure slices of large images for `test.py --slice` and `infer.py --slice`."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from mmengine.config import Config, ConfigDict

from ..config_parts import datasets_of, type_name
from ..errors import ConfigError
from .check_masks import predicts_masks
from .slices import check_sizes


def use_slices(cfg: Config, size: Sequence[int], overlap: int | None) -> None:
    """Wrap the model in `SlicedDetector`, and let the test pipelines load whole images.

    Args:
        cfg: Changed in place.
        size: Of a slice, (H, W) in pixels.
        overlap: In pixels; None for a fifth of the shorter side.

    Raises:
        ConfigError: Sizes, model or pipeline do not fit.
    """
    overlap = min(size) // 5 if overlap is None else overlap
    check_sizes(size, overlap)
    if 'roi_head' not in cfg.model and predicts_masks(cfg.model):
        raise ConfigError(
            f'--slice: cannot merge the masks of a {type_name(cfg.model)}, only those of Mask '
            'R-CNN, Cascade Mask R-CNN and HTC'
        )
    found = []
    for key, dataset in datasets_of('test', cfg.test_dataloader.dataset):
        dataset.pipeline, of_slices = split_pipeline(dataset.pipeline, key)
        found.append((key, of_slices))
    for key, pipeline in found[1:]:
        if pipeline != found[0][1]:
            raise ConfigError(
                f'--slice: {key}.pipeline resizes in another way than {found[0][0]}.pipeline; test '
                'the datasets one at a time'
            )
    cfg.model = ConfigDict(
        type='SlicedDetector',
        size=list(size),
        overlap=overlap,
        pipeline=found[0][1],
        batch_size=cfg.test_dataloader.get('batch_size', 1),
        module=cfg.model,
    )


def split_pipeline(pipeline: list, key: str) -> tuple[list, list]:
    """The steps for a whole image and those for each slice; both end in `PackDetInputs`.

    Raises:
        ConfigError: It does not load an image first and pack it last.
    """
    *steps, pack = copy.deepcopy(list(pipeline))
    if not steps or 'Load' not in type_name(steps[0]) or type_name(pack) != 'PackDetInputs':
        names = ', '.join(map(type_name, pipeline))
        raise ConfigError(
            f'--slice: {key}.pipeline has the steps {names}, but must begin with loading the image '
            'and end in PackDetInputs'
        )
    for_image = [step for step in steps[1:] if 'Annotations' in type_name(step)]
    for_slices = [step for step in steps[1:] if 'Annotations' not in type_name(step)]
    return [steps[0], *for_image, pack], [*for_slices, copy.deepcopy(pack)]
