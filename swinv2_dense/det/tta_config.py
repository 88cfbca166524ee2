"""Behind `test.py --tta`: the model and the pipeline of test-time augmentation."""

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
    """Put `tta_model` around the model and `tta_pipeline` into every dataset of the test loader.

    What the config lacks of the two is what mmdet's tools/test.py takes, an unflipped and a flipped
    view; with mask heads, merged by `InstanceSegTTAModel`.

    Raises:
        ConfigError: The config lacks one of the two and there is no default.
    """
    tta_model = cfg.get('tta_model') or _tta_model(cfg)
    given = cfg.get('tta_pipeline')
    wrap_for_tta(cfg, tta_model, lambda key, pipeline: given or _with_flips(pipeline, key))


def _with_flips(pipeline: list, key: str) -> list:
    """A test pipeline whose last step, PackDetInputs, packs two views."""
    *steps, pack = copy.deepcopy(pipeline)
    if type_name(pack) != 'PackDetInputs':
        raise ConfigError(
            f'--tta: {key}.pipeline ends in {type_name(pack)}, so where to flip is unknown; set '
            'tta_pipeline in the config, or end it in PackDetInputs'
        )
    if 'meta_keys' in pack:
        pack.meta_keys = tuple(dict.fromkeys((*pack.meta_keys, 'flip', 'flip_direction')))
    flips = [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)]
    return [*steps, dict(type='TestTimeAug', transforms=[flips, [pack]])]


def _tta_model(cfg: Config) -> dict:
    if (cfg.model.get('roi_head') or {}).get('mask_head'):
        return dict(type='InstanceSegTTAModel')
    evaluators = as_list(cfg.get('test_evaluator') or [])
    if any('segm' in as_list(evaluator.get('metric')) for evaluator in evaluators):
        raise ConfigError(
            f'--tta: masks of a {type_name(cfg.model)} cannot be merged, only those of Mask R-CNN, '
            'Cascade Mask R-CNN and HTC'
        )
    return BOX_MODEL
