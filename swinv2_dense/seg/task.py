"""Semantic segmentation with mmseg."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.config import Config
from mmseg.structures import SegDataSample

from ..config_parts import (
    annotated_first,
    datasets_of,
    loaded_datasets,
    plain_visualizer,
    type_name,
)
from ..costs.query_segmentors import parts_of_any_segmentor
from ..errors import ConfigError
from ..reports.reporter import Reporter
from ..task import Loaders, Task
from .check_classes import check_segmentation
from .check_label_maps import check_label_maps
from .exported import SegmentorCore, segmentor_differences
from .test_options import use_seg_tta, write_label_maps
from .visualization import draw_sample


class SegmentationTask(Task):
    """Semantic segmentors: `default_scope='mmseg'`."""

    name = 'segmentor'
    samples = 'images'
    process_means = ('reduce_mean',)  # of mmdet
    targets_in_training_only = True
    check_hooks = ('CheckImagesHook', 'CheckLabelMapsHook')
    visualizers = ('SegLocalVisualizer', 'LegendSegVisualizer')
    height_first_crops = ('RandomCrop',)
    exported_model = 'ExportedSegmentor'

    def pipeline_tag(self, cfg: Mapping) -> str:
        return 'image-segmentation'

    def check_config(self, cfg: Mapping, loaders: Loaders) -> None:
        others = tuple(name for name in ('train', 'val', 'test') if name not in loaders)
        check_segmentation(
            cfg.get('model', {}), loaded_datasets(cfg, loaders), loaded_datasets(cfg, others)
        )

    def check_dataset(self, name: str, dataset: Any, log: Callable[[str], None]) -> None:
        check_label_maps(name, dataset, log)

    def prepare_val_loss(self, cfg: Config, dataset: Any) -> None:
        for _, part in datasets_of('val', dataset):
            part.pipeline = annotated_first(part.pipeline)

    def enable_tta(self, cfg: Config) -> None:
        use_seg_tta(cfg)

    def enable_slices(self, cfg: Config, size: Sequence[int], overlap: int | None) -> None:
        raise ConfigError(
            '--slice is for detectors; for windows of a segmentor, set --cfg-options '
            'model.test_cfg.mode=slide model.test_cfg.crop_size=[H,W] model.test_cfg.stride=[H,W]'
        )

    def write_predictions(self, cfg: Config, folder: str) -> None:
        write_label_maps(cfg, folder)

    def draw_sample(self, sample: dict, metainfo: dict, caption: str) -> np.ndarray:
        return draw_sample(sample, metainfo, caption)

    def build_inferencer(
        self, cfg: Config, device: str, classes: Sequence[str] | None, score_thr: float
    ) -> Any:
        from .inference import SegmentationInferencer  # mmseg's takes seconds to import

        cfg.visualizer = plain_visualizer(cfg, 'LegendSegVisualizer')
        # The same labels without a map per class:
        model = cfg.model.get('module', cfg.model)
        if type_name(model) == 'EncoderDecoder':
            model.type = 'TiledEncoderDecoder'
        if type_name(cfg.model) == 'SegTTAModel':
            cfg.model.type = 'TiledSegTTAModel'
        return SegmentationInferencer(cfg, device, classes)

    def build_reporter(self, dataset: Any) -> Reporter:
        from .report import SegmentationReporter

        return SegmentationReporter(dataset)

    def export_core(self, model: Any, raw: bool) -> Any:
        return SegmentorCore(model, raw)

    def export_batch(self, image: Any) -> dict[str, Any]:
        size = tuple(image.shape[1:])
        meta = dict(ori_shape=size, img_shape=size, pad_shape=size, padding_size=[0] * 4)
        return dict(inputs=[image], data_samples=[SegDataSample(metainfo=meta)])

    def export_differences(self, expected: Any, found: Any) -> dict[str, float]:
        return segmentor_differences(expected, found)

    def cost_parts(self) -> Callable[..., list]:
        return parts_of_any_segmentor


TASK = SegmentationTask()
