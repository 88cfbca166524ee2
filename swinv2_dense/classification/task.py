"""Image classification with mmengine and mmcv's transforms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.config import Config

from ..config_parts import as_list, loaded_datasets
from ..costs.classifiers import classifier_parts
from ..export.proof import score_differences
from ..reports.reporter import Reporter
from ..task import Loaders, Task
from .check_data import check_image_data
from .exported import ClassifierCore
from .samples import ClassificationSample
from .tta import enable_classifier_tta
from .visualization import draw_sample


class ClassificationTask(Task):
    """Image classifiers: `default_scope='swinv2_classification'`."""

    name = 'classifier'
    samples = 'images'
    check_hooks = ('CheckImagesHook',)
    model_hooks = ('ClassifierWeightsHook',)
    visualizers = ('Visualizer', 'ClassificationVisualizer')
    height_first_crops = ('RandomResizedCrop',)
    exported_model = 'ExportedClassifier'

    def pipeline_tag(self, cfg: Mapping) -> str:
        return 'image-classification'

    def check_config(self, cfg: Mapping, loaders: Loaders) -> None:
        model = cfg.get('model', {})
        check_image_data(model.get('module', model), loaded_datasets(cfg, loaders))

    def enable_tta(self, cfg: Config) -> None:
        enable_classifier_tta(cfg)

    def write_predictions(self, cfg: Config, folder: str) -> None:
        evaluators = as_list(cfg.get('test_evaluator') or [])
        cfg.test_evaluator = [*evaluators, dict(type='PredictionTable', folder=folder)]

    def draw_sample(self, sample: dict, metainfo: dict, caption: str) -> np.ndarray:
        return draw_sample(sample, metainfo, caption)

    def build_inferencer(
        self, cfg: Config, device: str, classes: Sequence[str] | None, score_thr: float
    ) -> Any:
        from .inference import ClassificationInferencer

        return ClassificationInferencer(cfg, device, classes)

    def build_reporter(self, dataset: Any) -> Reporter:
        from .report import ClassificationReporter

        return ClassificationReporter(dataset)

    def export_core(self, model: Any, raw: bool) -> Any:
        return ClassifierCore(model, raw)

    def export_batch(self, image: Any) -> dict[str, Any]:
        return dict(inputs=[image], data_samples=[ClassificationSample()])

    def export_differences(self, expected: Any, found: Any) -> dict[str, float]:
        return score_differences(expected.pred_score, found.pred_score)

    def cost_parts(self) -> Callable[..., list]:
        return classifier_parts


TASK = ClassificationTask()
