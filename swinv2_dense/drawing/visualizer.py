"""Base of the visualizers of all tasks: draws a picture, and shows or writes it."""

from __future__ import annotations

import os
from abc import abstractmethod
from typing import Any

import numpy as np
from mmengine.dist import is_main_process

from .sheet import displayable, write_picture
from .style import Style


def file_of(record: Any) -> str:
    """The file of a sample or of a dataset's entry; '' if it has none."""
    keys = ('img_path', 'filename', 'frame_dir') if record is not None else ()
    return str(next((record.get(key) for key in keys if record.get(key)), ''))


class PictureVisualizer:
    """Mixin for a library's visualizer; comes first in the list of bases.

    Does not use matplotlib, whose canvas takes many times the memory of an image.
    """

    _drawn: np.ndarray | None = None
    _style: tuple[Any, Style] | None = None

    @abstractmethod
    def picture(
        self,
        image: Any,
        data_sample: Any,
        caption: str = '',
        draw_gt: bool = True,
        draw_pred: bool = True,
        **kwargs: Any,
    ) -> np.ndarray | None:
        """An RGB picture (h, w, 3) uint8; None if only the library can draw the sample."""

    @property
    def style(self) -> Style:
        """Names and colors of `dataset_meta`."""
        if self._style is None or self._style[0] is not self.dataset_meta:
            self._style = self.dataset_meta, Style.of(self.dataset_meta)
        return self._style[1]

    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: Any = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        out_file: str | None = None,
        step: int = 0,
        **kwargs: Any,
    ) -> None:
        """Draw an RGB image with its sample; show it, write it to `out_file`, or else pass it to
        the backends. Every process writes files; only the first does the rest.
        """
        if out_file is None and not is_main_process():
            return
        caption = os.path.basename(file_of(data_sample) or name)
        drawn = self.picture(image, data_sample, caption, draw_gt, draw_pred, **kwargs)
        if drawn is None:
            super().add_datasample(
                name, displayable(image), data_sample, draw_gt, draw_pred, show, wait_time,
                out_file, step=step, **kwargs,
            )  # fmt: skip
            return
        self._drawn = drawn
        if show:
            self.show(drawn, win_name=name, wait_time=wait_time)
        if out_file is not None:
            write_picture(out_file, drawn)
        elif not show:
            self.add_image(name, drawn, step)

    def set_image(self, image: np.ndarray) -> None:
        self._drawn = None
        super().set_image(image)

    def get_image(self) -> np.ndarray:
        """The last picture."""
        return super().get_image() if self._drawn is None else self._drawn
