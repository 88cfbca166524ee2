"""Pictures of segmented images, with a legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import mmcv
import numpy as np
from matplotlib.font_manager import findfont
from mmengine.dist import master_only
from mmseg.registry import VISUALIZERS
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer
from PIL import Image, ImageDraw, ImageFont

PANELS = {'gt_sem_seg': 'truth', 'pred_sem_seg': 'prediction'}


@VISUALIZERS.register_module()
class LegendSegVisualizer(SegLocalVisualizer):
    """mmseg's `SegLocalVisualizer` with a legend instead of names on the regions.

    Truth left and prediction right in the data set's palette, and beside them the classes with
    their share of the pixels, the largest first. Pixels without a class (the ignore index) show the
    image. Takes the arguments of `SegLocalVisualizer`; a sample without segmentation is drawn by
    it.
    """

    def __init__(self, name: str = 'visualizer', alpha: float = 0.6, **kwargs: Any) -> None:
        super().__init__(name, alpha=alpha, **kwargs)

    @master_only
    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: SegDataSample | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        out_file: str | None = None,
        step: int = 0,
        **kwargs: Any,
    ) -> None:
        """Draw an RGB image (H, W, 3) with what its sample holds: show, write or store it."""
        wanted = dict(gt_sem_seg=draw_gt, pred_sem_seg=draw_pred)
        maps = {
            title: getattr(data_sample, key).data.squeeze().cpu().numpy()
            for key, title in PANELS.items()
            if wanted[key] and data_sample is not None and key in data_sample
        }
        if not maps:
            super().add_datasample(
                name, image, data_sample, draw_gt, draw_pred, show, wait_time, out_file, step,
                **kwargs,
            )  # fmt: skip
            return
        classes, palette = self.dataset_meta['classes'], np.array(self.dataset_meta['palette'])
        drawn = draw(image, maps, classes, palette.astype(np.uint8), self.alpha)
        self.set_image(drawn)
        if show:
            self.show(drawn, win_name=name, wait_time=wait_time)
        if out_file is not None:
            mmcv.imwrite(mmcv.rgb2bgr(drawn), out_file)
        else:
            self.add_image(name, drawn, step)


def draw(
    image: np.ndarray,
    maps: Mapping[str, np.ndarray],
    classes: Sequence[str],
    palette: np.ndarray,
    alpha: float,
) -> np.ndarray:
    """One panel per label map (H, W), titled, and a legend.

    Args:
        image: RGB (H, W, 3).
        maps: Label maps by title.
        classes, palette: Name and colour (classes, 3) of each label.
        alpha: Opacity of the colours.

    Returns:
        RGB picture, on white.
    """
    height, width = image.shape[:2]
    font = ImageFont.truetype(findfont('DejaVu Sans'), max(12, height // 36))
    line = round(1.5 * font.size)
    shares = {title: _shares(labels, len(classes)) for title, labels in maps.items()}
    legend = _legend(shares, classes, palette, font, max(10, height // line))
    size = len(maps) * (width + line) + legend.width, max(height, legend.height - line) + line
    canvas = Image.new('RGB', size, 'white')
    canvas.paste(legend, (size[0] - legend.width, 0))
    for i, (title, labels) in enumerate(maps.items()):
        x = i * (width + line)
        ImageDraw.Draw(canvas).text((x, line // 6), title, 'black', font)
        canvas.paste(Image.fromarray(_overlay(image, labels, palette, alpha)), (x, line))
    return np.asarray(canvas)


def _overlay(
    image: np.ndarray, labels: np.ndarray, palette: np.ndarray, alpha: float
) -> np.ndarray:
    labels = labels.astype(int)
    drawn = (labels >= 0) & (labels < len(palette))
    colours = palette[np.where(drawn, labels, 0)]
    mixed = (image * (1 - alpha) + colours * alpha).astype(np.uint8)
    return np.where(drawn[..., None], mixed, image)


def _shares(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Part of all pixels per class."""
    labels = labels.astype(int).ravel()
    known = labels[(labels >= 0) & (labels < num_classes)]
    return np.bincount(known, minlength=num_classes) / labels.size


def _legend(
    shares: Mapping[str, np.ndarray],
    classes: Sequence[str],
    palette: np.ndarray,
    font: ImageFont.FreeTypeFont,
    lines: int,
) -> Image.Image:
    """Table of colour, name and shares in percent: at most `lines` lines below its header."""
    total = sum(shares.values())
    order = [i for i in np.argsort(-total, kind='stable') if total[i] > 0]
    shown = order if len(order) <= lines else order[: lines - 1]
    line = round(1.5 * font.size)
    names = [classes[i] for i in shown] + [f'and {len(order) - len(shown)} more']
    first = 2 * line + max(round(font.getlength(name)) for name in names)  # after the names
    columns = [round(font.getlength(title)) + line for title in shares]
    legend = Image.new('RGB', (first + sum(columns), (len(shown) + 2) * line), 'white')
    pen = ImageDraw.Draw(legend)
    ends = first + np.cumsum(columns)
    for end, title in zip(ends, shares):
        pen.text((end - line // 2, line // 6), title, 'black', font, anchor='ra')
    for row, i in enumerate(shown, start=1):
        y = row * line
        pen.rectangle((0, y + 2, line - 4, y + line - 4), tuple(map(int, palette[i])), 'black')
        pen.text((round(1.2 * line), y + line // 6), classes[i], 'black', font)
        for end, share in zip(ends, shares.values()):
            text = f'{100 * share[i]:.1f} %' if share[i] else '-'
            pen.text((end - line // 2, y + line // 6), text, 'black', font, anchor='ra')
    if len(shown) < len(order):
        pen.text((round(1.2 * line), (len(shown) + 1) * line + line // 6), names[-1], 'gray', font)
    return legend
