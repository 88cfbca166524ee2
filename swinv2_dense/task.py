"""What the commands ask of a task, such as detection; `tasks` holds the table of them.

    cli/train  cli/test  cli/infer  cli/browse_dataset  cli/plan
          \\       |        |         |            /
           +------+--- task_of(cfg) --+-----------+        one object per task
                           |
det/task.py      seg/task.py      video/task.py      your own
(mmdet)          (mmseg)          (mmaction2)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.config import Config, ConfigDict
from mmengine.evaluator import BaseMetric, DumpResults

from .config_parts import datasets_of
from .errors import ConfigError

Loaders = tuple[str, ...]  # of 'train', 'val', 'test'


class Task:
    """A kind of model, with all that differs between it and others.

    The defaults suit any model that mmengine trains and tests. A subclass overrides what its
    library does in another way; `tasks.register_task` makes it known.
    """

    name = 'model'  # in messages
    samples = 'samples'  # what its datasets hold, in reports
    is_video = False  # inputs are clips (T, H, W), not images (H, W)
    check_hooks: tuple[str, ...] = ()  # hooks that check data, see training.added_hooks
    model_hooks: tuple[str, ...] = ()  # hooks that change what models compute
    visualizers: tuple[str, str] | None = None  # the library's default, and what replaces it
    # Of the library's transforms, for the size that a pipeline makes:
    resize_keeps_ratio = False  # what Resize does without `keep_ratio`
    height_first_crops: tuple[str, ...] = ()  # take their size as (H, W); the others as (W, H)

    def check_config(self, cfg: Mapping, loaders: Loaders) -> None:
        """Check what only this task knows of, before anything is built.

        Args:
            cfg: A config; of a command that only reads data, its loaders alone.
            loaders: Those that the command reads.

        Raises:
            ConfigError: The first thing found wrong.
        """

    def prepare_run(self, cfg: Config) -> None:
        """Change a config before its runner is built."""

    def repair_annotations(self, runner: Any, loaders: Loaders) -> None:
        """Let a runner whose loops are not built yet read repaired copies of annotation files."""

    def prepare_dataset(self, dataset: Any, split: str) -> None:
        """Change a dataset's config before samples of it are drawn."""

    def check_dataset(self, name: str, dataset: Any, log: Callable[[str], None]) -> None:
        """Check a built dataset; `name` is the key of its loader.

        Raises:
            ConfigError: The first thing found wrong.
        """

    def enable_tta(self, cfg: Config) -> None:
        """Put `tta_model` around the model, and `tta_pipeline` into the datasets of the test.

        Raises:
            ConfigError: The config lacks one of the two and the task has no default.
        """
        missing = [key for key in ('tta_model', 'tta_pipeline') if key not in cfg]
        if missing:
            raise ConfigError(f'--tta needs {" and ".join(missing)} in the config')
        wrap_for_tta(cfg, cfg.tta_model, lambda key, pipeline: cfg.tta_pipeline)

    def write_predictions(self, cfg: Config, folder: str) -> None:
        """Let a test write its predictions to a folder, as `test.py --out FOLDER` asks.

        Raises:
            ConfigError: The task has no format for that.
        """
        raise ConfigError(
            f'--out={folder!r} must end in .pkl: a {self.name} has no other format for predictions'
        )

    def dump_metric(self, path: str) -> BaseMetric:
        """The metric that writes the predictions of a test to a pickle file."""
        return DumpResults(out_file_path=path)

    def prepare_drawing(self, cfg: Config) -> None:
        """Change a config whose test draws predictions, beside its visualizer."""

    def draw_sample(self, sample: dict, metainfo: dict, caption: str) -> np.ndarray:
        """A picture (H, W, 3), RGB, of a sample as its pipeline packs it.

        Raises:
            ConfigError: The task has no pictures.
        """
        raise ConfigError(f'samples of a {self.name} cannot be drawn')

    def build_inferencer(
        self, cfg: Config, device: str, classes: Sequence[str] | None, score_thr: float
    ) -> Any:
        """The `inference.base.CheckedInferencer` of the task, with weights from `cfg.load_from`.

        Args:
            cfg: Its `test_dataloader.dataset` is one dataset, whose pipeline is used.
            device: Where to compute.
            classes: Names of the classes, in place of those of the checkpoint.
            score_thr: Predictions with lower scores are left out, where there are several.

        Raises:
            ConfigError: The task has none.
        """
        raise ConfigError(f'files cannot be predicted with a {self.name}')

    def cost_parts(self) -> Callable[..., list]:
        """The function that counts operations and memory of a model, see `costs.training_step`.

        Raises:
            ConfigError: The task has none.
        """
        raise ConfigError(f'costs of a {self.name} cannot be counted')


def wrap_for_tta(cfg: Config, tta_model: Mapping, pipeline: Callable[[str, list], list]) -> None:
    """Put `tta_model` around the model, and pipelines of several views into the test datasets.

    Args:
        cfg: Changed in place.
        tta_model: Config of the model that merges the predictions of the views.
        pipeline: Takes the key of a dataset and its test pipeline.
    """
    for key, dataset in datasets_of('test', cfg.test_dataloader.dataset):
        dataset.pipeline = pipeline(key, dataset.pipeline)
    cfg.model = ConfigDict(**tta_model, module=cfg.model)
