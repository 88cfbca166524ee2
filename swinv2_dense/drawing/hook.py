"""Pictures of what a test predicts, for every task: what `test.py --show` and `--show-dir` turn on.

The hooks of mmdet, mmseg and mmaction2 name files in three ways, and overwrite those of equal names
from other folders.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.visualization import Visualizer

from ..config_parts import as_list, leaf_datasets
from .clips import evenly, frames_of
from .files import picture_names
from .sheet import displayable
from .visualizer import file_of


@HOOKS.register_module()
class PictureHook(Hook):
    """Draw truth and prediction of test samples.

    Args:
        folder: Where to write them: one picture per sample, named after its file below the folder
            that all files of the test share. None: nothing is written.
        interval: Every n-th sample is drawn, in each process.
        show: Whether to show them in a window.
        wait_time: Seconds that each stays there.
        score_thr: Objects with lower scores are not drawn.
    """

    def __init__(
        self,
        folder: str | None = None,
        interval: int = 1,
        show: bool = False,
        wait_time: float = 0.0,
        score_thr: float = 0.3,
    ) -> None:
        self.folder, self.interval, self.score_thr = folder, interval, score_thr
        self.show, self.wait_time = show, wait_time
        self.names: dict[str, str] = {}
        self.loader: Any = None
        self.seen = 0

    def before_test(self, runner: Any) -> None:
        parts = list(leaf_datasets(runner.test_dataloader.dataset))
        paths = list(dict.fromkeys(path for part in parts for path in _paths(part)))
        self.names = dict(zip(paths, picture_names(paths)))
        steps = (step for part in parts for step in _steps(getattr(part, 'pipeline', None)))
        self.loader = next((step for step in steps if _loads_images(step)), None)
        self.seen = 0

    def after_test_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[Any] | None = None,
    ) -> None:
        for position, sample in enumerate(outputs or []):
            self.seen += 1
            if (self.seen - 1) % self.interval:
                continue
            path = file_of(sample)
            name = self.names.get(path) or f'{self.seen - 1:06d}.jpg'
            if getattr(sample, 'img_path', None):
                image, options = self._image(path), dict(pred_score_thr=self.score_thr)
            else:
                image, options = _frames(data_batch['inputs'][position]), {}
            Visualizer.get_current_instance().add_datasample(
                name,
                image,
                data_sample=sample.cpu(),
                show=self.show,
                wait_time=self.wait_time,
                out_file=os.path.join(self.folder, name) if self.folder else None,
                **options,
            )

    def _image(self, path: str) -> np.ndarray:
        """RGB, as the pipeline loads it."""
        import mmcv

        if self.loader is None:
            return mmcv.imread(path, channel_order='rgb')
        return np.ascontiguousarray(displayable(self.loader(dict(img_path=path))['img'])[..., ::-1])


def _loads_images(step: Any) -> bool:
    from mmcv.transforms import LoadImageFromFile

    return isinstance(step, LoadImageFromFile)


def _steps(step: Any) -> Iterator[Any]:
    """A transform and those within it (Compose, TestTimeAug, ...)."""
    yield step
    for inner in (*as_list(getattr(step, 'transforms', [])), *getattr(step, 'subroutines', [])):
        yield from _steps(inner)


def _paths(dataset: Any) -> Iterator[str]:
    if hasattr(dataset, 'get_data_info'):
        infos = (dataset.get_data_info(index) for index in range(len(dataset)))
        yield from (path for path in map(file_of, infos) if path)


def _frames(inputs: Any) -> list[np.ndarray]:
    frames = frames_of(inputs)
    return [displayable(frames[index]) for index in evenly(len(frames))]
