"""Test-time augmentation of classifiers."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from mmengine.config import Config
from mmengine.model import BaseTTAModel
from mmengine.registry import MODELS

from ..config_parts import type_name
from ..errors import ConfigError
from ..task import wrap_for_tta
from .samples import ClassificationSample

PACK = 'PackClassificationInputs'


@MODELS.register_module()
class ClassifierTTAModel(BaseTTAModel):
    """Average the scores of all views of an image; takes the arguments of `BaseTTAModel`."""

    def merge_preds(
        self, data_samples_list: Sequence[Sequence[ClassificationSample]]
    ) -> list[ClassificationSample]:
        """One list of views per image -> the first view of each, with the mean scores."""
        return [
            views[0].set_scores(torch.stack([view.pred_score for view in views]).mean(dim=0))
            for views in data_samples_list
        ]


def enable_classifier_tta(cfg: Config) -> None:
    """Test with `tta_pipeline` of the config; by default, with the image and its mirror image.

    Raises:
        ConfigError: A test pipeline has no step that packs, before which views can be made.
    """

    def augmented(key: str, pipeline: list) -> list:
        if 'tta_pipeline' in cfg:
            return copy.deepcopy(cfg.tta_pipeline)
        names = [type_name(step) for step in pipeline]
        if PACK not in names:
            raise ConfigError(
                f'--tta: {key}.pipeline has no {PACK}; set tta_pipeline in the config'
            )
        at = names.index(PACK)
        flips = [dict(type='RandomFlip', prob=prob) for prob in (0.0, 1.0)]
        views = dict(type='TestTimeAug', transforms=[flips, pipeline[at:]])
        return [*pipeline[:at], views]

    wrap_for_tta(cfg, cfg.get('tta_model') or dict(type='ClassifierTTAModel'), augmented)
