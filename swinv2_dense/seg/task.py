"""Semantic segmentation with mmseg."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.config import Config

from ..config_parts import loaded_datasets, plain_visualizer, type_name
from ..costs.query_segmentors import parts_of_any_segmentor
from ..task import Loaders, Task
from .check_classes import check_segmentation
from .check_label_maps import check_label_maps
from .test_options import use_seg_tta, write_label_maps
from .visualization import draw_sample


class SegmentationTask(Task):
    """Semantic segmentors: `default_scope='mmseg'`."""

    name = 'segmentor'
    samples = 'images'
    check_hooks = ('CheckImagesHook', 'CheckLabelMapsHook')
    visualizers = ('SegLocalVisualizer', 'LegendSegVisualizer')
    height_first_crops = ('RandomCrop',)

    def check_config(self, cfg: Mapping, loaders: Loaders) -> None:
        others = tuple(name for name in ('train', 'val', 'test') if name not in loaders)
        check_segmentation(
            cfg.get('model', {}), loaded_datasets(cfg, loaders), loaded_datasets(cfg, others)
        )

    def check_dataset(self, name: str, dataset: Any, log: Callable[[str], None]) -> None:
        check_label_maps(name, dataset, log)

    def enable_tta(self, cfg: Config) -> None:
        use_seg_tta(cfg)

    def write_predictions(self, cfg: Config, folder: str) -> None:
        write_label_maps(cfg, folder)

    def draw_sample(self, sample: dict, metainfo: dict, caption: str) -> np.ndarray:
        return draw_sample(sample, metainfo, caption)

    def build_inferencer(
        self, cfg: Config, device: str, classes: Sequence[str] | None, score_thr: float
    ) -> Any:
        from .inference import SegmentationInferencer  # mmseg's takes seconds to import

        cfg.visualizer = plain_visualizer(cfg, 'LegendSegVisualizer')
        if type_name(cfg.model) == 'EncoderDecoder':
            cfg.model.type = 'TiledEncoderDecoder'  # the same labels without a map per class
        return SegmentationInferencer(cfg, device, classes)

    def cost_parts(self) -> Callable[..., list]:
        return parts_of_any_segmentor


TASK = SegmentationTask()
