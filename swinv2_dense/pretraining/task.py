"""Self-supervised pre-training with SimMIM, on mmengine alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.evaluator import BaseMetric

from ..config_parts import type_name
from ..costs.pretraining import simmim_parts
from ..errors import ConfigError
from ..task import Loaders, Task
from .check_masks import VIDEO_BACKBONES, check_masks
from .metrics import DumpWithoutPixels
from .visualization import draw_sample


class PretrainingTask(Task):
    """Masked image modeling: `default_scope='swinv2_pretraining'`."""

    name = 'masked image model'
    samples = 'files'
    check_hooks = ('CheckImagesHook',)
    visualizers = ('Visualizer', 'ReconstructionVisualizer')
    height_first_crops = ('RandomResizedCrop',)

    def takes_clips(self, cfg: Mapping) -> bool:
        backbone = (cfg.get('model') or {}).get('backbone')
        return type_name(backbone) in VIDEO_BACKBONES

    def check_config(self, cfg: Mapping, loaders: Loaders) -> None:
        check_masks(cfg, loaders, self)

    def enable_tta(self, cfg: Config) -> None:
        raise ConfigError(
            '--tta: a masked image model has no test-time augmentation, because its loss belongs '
            'to one mask; test without --tta'
        )

    def dump_metric(self, path: str) -> BaseMetric:
        return DumpWithoutPixels(out_file_path=path)

    def draw_sample(self, sample: dict, metainfo: dict, caption: str) -> np.ndarray:
        return draw_sample(sample, metainfo, caption)

    def build_inferencer(
        self, cfg: Config, device: str, classes: Sequence[str] | None, score_thr: float
    ) -> Any:
        from .inference import ClipReconstruction, ImageReconstruction

        cfg.pop('visualizer', None)
        kind = ClipReconstruction if self.takes_clips(cfg) else ImageReconstruction
        return kind(cfg, device, classes)

    def cost_parts(self) -> Callable[..., list]:
        return simmim_parts


TASK = PretrainingTask()
