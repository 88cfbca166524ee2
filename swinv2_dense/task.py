"""The interface between the commands and a task such as detection; `tasks` holds the table.

    cli/train  cli/test  cli/infer  cli/browse_dataset  cli/plan
          \\       |        |         |            /
           +------+--- task_of(cfg) --+-----------+        one object per task
                           |
det/task.py      seg/task.py      video/task.py      your own
(mmdet)          (mmseg)          (mmaction2)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from mmengine.config import Config, ConfigDict
from mmengine.evaluator import BaseMetric, DumpResults

from .config_parts import datasets_of
from .errors import ConfigError

Loaders = tuple[str, ...]  # of 'train', 'val', 'test'


class Task:
    """Everything that is specific to one kind of model.

    The defaults suit any model that mmengine trains and tests. Subclasses override what differs in
    their library; `tasks.register_task` registers them.
    """

    name = 'model'  # used in messages
    samples = 'samples'  # what its datasets contain, used in reports
    check_hooks: tuple[str, ...] = ()  # hooks that check data, see training.added_hooks
    model_hooks: tuple[str, ...] = ()  # hooks that change what models compute
    visualizers: tuple[str, str] | None = None  # the library's default, and its replacement
    process_means: tuple[str, ...] = ()  # the library's functions that average over processes
    targets_in_training_only = False  # see training.val_loss.ValLossHook
    # Conventions of the library's transforms, to compute the output size of a pipeline:
    resize_keeps_ratio = False  # default of Resize for `keep_ratio`
    height_first_crops: tuple[str, ...] = ()  # their size is (H, W) instead of (W, H)

    def takes_clips(self, cfg: Mapping) -> bool:
        """Whether the inputs of a config's model are clips (T, H, W) instead of images (H, W)."""
        return False

    def pipeline_tag(self, cfg: Mapping) -> str | None:
        """What the Hugging Face hub calls the task of a config's model, such as
        'object-detection'; None if it has no name for it.
        """
        return None

    def check_early(self, cfg: Mapping, loaders: Loaders) -> None:
        """Run checks whose errors explain more than those of the shared checks, which follow.

        Takes and raises the same as `check_config`.
        """

    def check_config(self, cfg: Mapping, loaders: Loaders) -> None:
        """Run the checks of this task, after the shared ones and before anything is built.

        Args:
            cfg: A config; for commands that only read data, only its data loaders.
            loaders: Those that the command uses.

        Raises:
            ConfigError: The first mistake found.
        """

    def prepare_run(self, cfg: Config) -> None:
        """Modify a config before its runner is built."""

    def repair_annotations(self, runner: Any, loaders: Loaders) -> None:
        """Make a runner read repaired copies of annotation files; its loops are not built yet."""

    def prepare_dataset(self, dataset: Any, split: str) -> None:
        """Modify the config of a dataset whose samples will be drawn."""

    def check_dataset(self, name: str, dataset: Any, log: Callable[[str], None]) -> None:
        """Check a built dataset; `name` is the key of its loader.

        Raises:
            ConfigError: The first mistake found.
        """

    def prepare_val_loss(self, cfg: Config, dataset: Any) -> None:
        """Modify a copy of a config's validation dataset so that samples have training targets.

        Raises:
            ConfigError: They cannot have them.
        """
        self.prepare_dataset(dataset, 'val')

    def enable_tta(self, cfg: Config) -> None:
        """Wrap the model in `tta_model` and set `tta_pipeline` in the test datasets.

        Raises:
            ConfigError: The config lacks one of the two and the task has no default.
        """
        missing = [key for key in ('tta_model', 'tta_pipeline') if key not in cfg]
        if missing:
            raise ConfigError(f'--tta needs {" and ".join(missing)} in the config')
        wrap_for_tta(cfg, cfg.tta_model, lambda key, pipeline: cfg.tta_pipeline)

    def enable_slices(self, cfg: Config, size: Sequence[int], overlap: int | None) -> None:
        """Let the model look at slices of large images, for `--slice H W --overlap PIXELS`.

        Raises:
            ConfigError: The task does not support it, or the sizes do not fit.
        """
        raise ConfigError(f'--slice is for detectors; a {self.name} does not support it')

    def write_predictions(self, cfg: Config, folder: str) -> None:
        """Make a test write its predictions to a folder, for `test.py --out FOLDER`.

        Raises:
            ConfigError: The task does not support it.
        """
        raise ConfigError(
            f'--out={folder!r} must end in .pkl: a {self.name} has no other format for predictions'
        )

    def export_predictions(
        self, formats: Sequence[str], folder: Path, names: Sequence[str], classes: Sequence[str]
    ) -> list[Path]:
        """Write the predictions of `infer.py` in other formats, for `--export FORMAT...`.

        Args:
            formats: See `choices.EXPORTS`.
            folder: The output folder, with `predictions/NAME.json`.
            names: Of the inputs.
            classes: Names of all classes.

        Returns:
            What was written.

        Raises:
            ConfigError: The task does not support it.
        """
        raise ConfigError(f'--export is for detectors; a {self.name} does not support it')

    def dump_metric(self, path: str) -> BaseMetric:
        """The metric that writes the predictions of a test to a pickle file."""
        return DumpResults(out_file_path=path)

    def prepare_drawing(self, cfg: Config) -> None:
        """Modify a config whose test draws predictions; the visualizer is set separately."""

    def draw_sample(self, sample: dict, metainfo: dict, caption: str) -> np.ndarray:
        """Draw a sample that its pipeline has packed, as (H, W, 3) RGB.

        Raises:
            ConfigError: The task does not support it.
        """
        raise ConfigError(f'samples of a {self.name} cannot be drawn')

    def build_inferencer(
        self, cfg: Config, device: str, classes: Sequence[str] | None, score_thr: float
    ) -> Any:
        """The `inference.base.CheckedInferencer` of the task, with weights from `cfg.load_from`.

        Args:
            cfg: `test_dataloader.dataset` is a single dataset; its pipeline is used.
            device: Where to compute.
            classes: Class names that replace those of the checkpoint.
            score_thr: Drops detections with lower scores.

        Raises:
            ConfigError: The task does not support inference on files.
        """
        raise ConfigError(f'a {self.name} does not support inference on files')

    def build_reporter(self, dataset: Any) -> Any:
        """The `reports.reporter.Reporter` for a test on a built dataset.

        Raises:
            ConfigError: The task has no reports, or none for this dataset.
        """
        raise ConfigError(f'there are no reports on a {self.name}')

    exported_model: str | None = None  # class that runs exported files, see `export.model`

    def export_core(self, model: Any, raw: bool) -> Any:
        """The `export.graph.Core` of a model in eval mode.

        Args:
            model: Its parts are used, and may be changed.
            raw: Only outputs of the head, without what follows it.

        Raises:
            ConfigError: The model cannot be exported; names the part and the reason.
        """
        raise ConfigError(f'a {self.name} cannot be exported')

    def export_batch(self, image: Any) -> dict[str, Any]:
        """The batch of one image or clip (C, S...) that `model.test_step` takes."""
        return dict(inputs=[image], data_samples=None)

    def export_differences(self, expected: Any, found: Any) -> dict[str, float]:
        """How much the predictions of two models differ for one input, by quantity.

        Relative to the size of what is predicted, so that one tolerance fits all. Empty if there
        is nothing to compare.
        """
        raise ConfigError(f'a {self.name} cannot be exported')

    def cost_parts(self) -> Callable[..., list]:
        """The function that counts operations and memory of a model, see `costs.training_step`.

        Raises:
            ConfigError: The task has none.
        """
        raise ConfigError(f'the costs of a {self.name} cannot be counted')


def wrap_for_tta(cfg: Config, tta_model: Mapping, pipeline: Callable[[str, list], list]) -> None:
    """Wrap the model in `tta_model`, and set pipelines with several views in the test datasets.

    Args:
        cfg: Modified in place.
        tta_model: Config of the model that merges the predictions of the views.
        pipeline: Maps the key of a dataset and its test pipeline to the new pipeline.
    """
    for key, dataset in datasets_of('test', cfg.test_dataloader.dataset):
        settings = cast(ConfigDict, dataset)
        settings.pipeline = pipeline(key, settings.pipeline)
    cfg.model = ConfigDict(**tta_model, module=cfg.model)
