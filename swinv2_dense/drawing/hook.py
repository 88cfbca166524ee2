"""Pictures of predictions during a test, for every task: `--show` and `--show-dir`.

It replaces the hooks of mmdet, mmseg and mmaction2, which name files in three ways and overwrite
pictures of files with the same name in different folders.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from ..config_parts import leaf_datasets
from .clips import evenly, frames_of
from .files import picture_names
from .loading import ImageLoader
from .sheet import displayable
from .visualizer import file_of


@HOOKS.register_module()
class PictureHook(Hook):
    """Draw ground truth and predictions of test samples.

    Args:
        folder: Folder for the pictures, one per sample, named like its file relative to the
            common folder of all files. None writes nothing.
        interval: Draw every n-th sample, in each process.
        show: Show the pictures in a window.
        wait_time: Seconds that each picture is shown.
        score_thr: Do not draw objects with lower scores.
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
        self.image: ImageLoader | None = None
        self.seen = 0

    def before_test(self, runner: Any) -> None:
        parts = list(leaf_datasets(runner.test_dataloader.dataset))
        paths = list(dict.fromkeys(path for part in parts for path in _paths(part)))
        self.names = dict(zip(paths, picture_names(paths)))
        self.image = ImageLoader(parts)
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
                image, options = self.image(path), dict(pred_score_thr=self.score_thr)
            else:
                image, options = _frames(data_batch['inputs'][position]), {}
            # Not mmengine's current visualizer, which may be one of an earlier run.
            runner.visualizer.add_datasample(
                name,
                image,
                data_sample=sample.cpu(),
                show=self.show,
                wait_time=self.wait_time,
                out_file=os.path.join(self.folder, name) if self.folder else None,
                **options,
            )


def _paths(dataset: Any) -> Iterator[str]:
    if hasattr(dataset, 'get_data_info'):
        infos = (dataset.get_data_info(index) for index in range(len(dataset)))
        yield from (path for path in map(file_of, infos) if path)


def _frames(inputs: Any) -> list[np.ndarray]:
    frames = frames_of(inputs)
    return [displayable(frames[index]) for index in evenly(len(frames))]
