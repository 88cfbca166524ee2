"""Action recognition with mmaction2."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from mmaction.structures import ActionDataSample
from mmengine.config import Config

from ..config_parts import loaded_datasets
from ..costs.recognizers import recognizer_parts
from ..export.proof import score_differences
from ..reports.reporter import Reporter
from ..task import Loaders, Task
from .check_labels import check_video_labels
from .exported import RecognizerCore
from .few_classes import drop_certain_topk
from .label_map import name_classes
from .visualization import draw_sample, keep_file_names


class RecognitionTask(Task):
    """Action recognizers: `default_scope='mmaction'`."""

    name = 'recognizer'
    samples = 'videos'
    model_hooks = ('Fp32ScoresHook',)
    visualizers = ('ActionVisualizer', 'ClipVisualizer')
    resize_keeps_ratio = True
    exported_model = 'ExportedRecognizer'

    def takes_clips(self, cfg: Mapping) -> bool:
        return True

    def pipeline_tag(self, cfg: Mapping) -> str:
        return 'video-classification'

    def check_config(self, cfg: Mapping, loaders: Loaders) -> None:
        model = cfg.get('model', {})
        check_video_labels(model.get('module', model), loaded_datasets(cfg, loaders))

    def prepare_run(self, cfg: Config) -> None:
        name_classes(cfg)
        drop_certain_topk(cfg)

    def prepare_drawing(self, cfg: Config) -> None:
        name_classes(cfg)
        for _, dataset in loaded_datasets(cfg, ('test',)):
            keep_file_names(dataset.get('pipeline') or [])

    def draw_sample(self, sample: dict, metainfo: dict, caption: str) -> np.ndarray:
        return draw_sample(sample, metainfo, caption)

    def build_inferencer(
        self, cfg: Config, device: str, classes: Sequence[str] | None, score_thr: float
    ) -> Any:
        from .inference import RecognitionInferencer  # mmaction2's takes seconds to import

        name_classes(cfg)
        cfg.pop('visualizer', None)
        return RecognitionInferencer(cfg, device, classes)

    def build_reporter(self, dataset: Any) -> Reporter:
        from .report import RecognitionReporter

        return RecognitionReporter(dataset)

    def export_core(self, model: Any, raw: bool) -> Any:
        return RecognizerCore(model, raw)

    def export_batch(self, image: Any) -> dict[str, Any]:
        return dict(inputs=[image[None]], data_samples=[ActionDataSample()])

    def export_differences(self, expected: Any, found: Any) -> dict[str, float]:
        return score_differences(expected.pred_score, found.pred_score)

    def cost_parts(self) -> Callable[..., list]:
        return recognizer_parts


TASK = RecognitionTask()
