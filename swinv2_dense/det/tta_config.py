"""Configure test-time augmentation for `test.py --tta`."""

from __future__ import annotations

import copy

from mmengine.config import Config

from ..config_parts import as_list, type_name
from ..errors import ConfigError
from ..task import wrap_for_tta

BOX_MODEL = dict(
    type='DetTTAModel',
    tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100),
)


def use_tta(cfg: Config) -> None:
    """Wrap the model in `tta_model` and set `tta_pipeline` in every dataset of the test loader.

    The defaults are those of mmdet's tools/test.py, an unflipped and a flipped view; models with
    mask heads get `InstanceSegTTAModel`.

    Raises:
        ConfigError: The config lacks one of the two and there is no default.
    """
    tta_model = cfg.get('tta_model') or _tta_model(cfg)
    given = cfg.get('tta_pipeline')
    wrap_for_tta(cfg, tta_model, lambda key, pipeline: given or _with_flips(pipeline, key))


def _with_flips(pipeline: list, key: str) -> list:
    """The test pipeline with two views, unflipped and flipped."""
    *steps, pack = copy.deepcopy(pipeline)
    if type_name(pack) != 'PackDetInputs':
        raise ConfigError(
            f'--tta: {key}.pipeline ends in {type_name(pack)} instead of PackDetInputs, so the '
            'place for flips is unknown; set tta_pipeline in the config'
        )
    if 'meta_keys' in pack:
        pack.meta_keys = tuple(dict.fromkeys((*pack.meta_keys, 'flip', 'flip_direction')))
    flips = [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)]
    return [*steps, dict(type='TestTimeAug', transforms=[flips, [pack]])]


def _tta_model(cfg: Config) -> dict:
    if (cfg.model.get('roi_head') or {}).get('mask_head'):
        return dict(type='InstanceSegTTAModel')
    evaluators = as_list(cfg.get('test_evaluator') or [])
    if cfg.model.get('panoptic_head') or any(
        'segm' in as_list(evaluator.get('metric')) for evaluator in evaluators
    ):
        raise ConfigError(
            f'--tta: cannot merge the masks of a {type_name(cfg.model)}, only those of Mask R-CNN, '
            'Cascade Mask R-CNN and HTC'
        )
    return BOX_MODEL
