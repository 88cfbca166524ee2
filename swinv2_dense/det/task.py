"""Detection and instance segmentation with mmdet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.datasets import CocoPanopticDataset
from mmdet.evaluation import DumpDetResults
from mmdet.structures import DetDataSample
from mmengine.config import Config

from ..config_parts import annotated_first, datasets_of, loaded_datasets, plain_visualizer
from ..costs.query_detectors import parts_of_any_detector
from ..reports.reporter import Reporter, single_dataset
from ..task import Loaders, Task
from .annotation_files import check_annotation_files, repair_runner, use_repaired
from .check_classes import check_classes
from .check_masks import check_masks, predicts_masks
from .check_queries import check_queries
from .check_semantic_branch import check_semantic
from .classwise_metric import separate_classwise_keys
from .export_core import detector_core
from .exported import detector_differences
from .exports import export
from .panoptic.check import check_panoptic, check_panopticapi
from .slices_config import use_slices
from .tta_config import use_tta
from .val_targets import load_targets
from .visualization import draw_sample


class DetectionTask(Task):
    """Detectors and instance segmentors: `default_scope='mmdet'`."""

    name = 'detector'
    samples = 'images'
    process_means = ('reduce_mean',)  # of mmdet
    targets_in_training_only = True
    check_hooks = ('CheckImagesHook',)
    model_hooks = ('DetectorFp32Hook',)
    visualizers = ('DetLocalVisualizer', 'ClassColorDetVisualizer')
    exported_model = 'ExportedDetector'

    def pipeline_tag(self, cfg: Mapping) -> str:
        return 'image-segmentation' if predicts_masks(_model(cfg)) else 'object-detection'

    def check_early(self, cfg: Mapping, loaders: Loaders) -> None:
        train_sets = loaded_datasets(cfg, [name for name in loaders if name == 'train'])
        evaluators = [f'{name}_evaluator' for name in loaders if name != 'train']
        check_masks(_model(cfg), train_sets, [(key, cfg.get(key)) for key in evaluators])
        if train_sets:  # testing needs no semantic maps
            check_semantic(_model(cfg), train_sets, getattr(cfg, 'filename', None))

    def check_config(self, cfg: Mapping, loaders: Loaders) -> None:
        datasets = loaded_datasets(cfg, loaders)
        check_classes(_model(cfg), datasets)
        evaluators = [f'{name}_evaluator' for name in loaders if name != 'train']
        check_panopticapi(datasets, [(key, cfg.get(key)) for key in evaluators])
        check_panoptic(_model(cfg), datasets)
        if loaders:
            checked = check_annotation_files(cfg, loaders)
            learned = [(file.path, found.most) for file, found in checked if file.loader == 'train']
            check_queries(_model(cfg), learned)

    def prepare_run(self, cfg: Config) -> None:
        separate_classwise_keys(cfg)

    def repair_annotations(self, runner: Any, loaders: Loaders) -> None:
        repair_runner(runner, loaders)

    def prepare_dataset(self, dataset: Any, split: str) -> None:
        use_repaired({f'{split}_dataloader': dict(dataset=dataset)}, (split,), print, print)
        for _, part in datasets_of(split, dataset):
            part.pipeline = annotated_first(part.pipeline)

    def prepare_val_loss(self, cfg: Config, dataset: Any) -> None:
        load_targets(cfg, dataset)
        self.prepare_dataset(dataset, 'val')

    def enable_tta(self, cfg: Config) -> None:
        use_tta(cfg)

    def enable_slices(self, cfg: Config, size: Sequence[int], overlap: int | None) -> None:
        use_slices(cfg, size, overlap)

    def export_predictions(
        self, formats: Sequence[str], folder: Path, names: Sequence[str], classes: Sequence[str]
    ) -> list[Path]:
        return [export(one, folder, names, classes) for one in formats]

    def dump_metric(self, path: str) -> DumpDetResults:
        return DumpDetResults(out_file_path=path)

    def draw_sample(self, sample: dict, metainfo: dict, caption: str) -> np.ndarray:
        return draw_sample(sample, metainfo, caption)

    def build_inferencer(
        self, cfg: Config, device: str, classes: Sequence[str] | None, score_thr: float
    ) -> Any:
        from .inference import DetectionInferencer  # mmdet's takes seconds to import

        cfg.visualizer = plain_visualizer(cfg, 'ClassColorDetVisualizer')
        inferencer = DetectionInferencer(cfg, device, classes)
        inferencer.score_thr = score_thr
        return inferencer

    def build_reporter(self, dataset: Any) -> Reporter:
        if isinstance(single_dataset(dataset), CocoPanopticDataset):
            from .panoptic.report import PanopticReporter

            return PanopticReporter(dataset)
        from .report import DetectionReporter

        return DetectionReporter(dataset)

    def export_core(self, model: Any, raw: bool) -> Any:
        return detector_core(model, raw)

    def export_batch(self, image: Any) -> dict[str, Any]:
        size = tuple(image.shape[1:])
        meta = dict(img_id=0, ori_shape=size, img_shape=size, scale_factor=(1.0, 1.0))
        return dict(inputs=[image], data_samples=[DetDataSample(metainfo=meta)])

    def export_differences(self, expected: Any, found: Any) -> dict[str, float]:
        return detector_differences(expected, found)

    def cost_parts(self) -> Callable[..., list]:
        return parts_of_any_detector


def _model(cfg: Mapping) -> Mapping:
    """The detector, also if test-time augmentation wraps it."""
    model = cfg.get('model', {})
    return model.get('module', model)


TASK = DetectionTask()
