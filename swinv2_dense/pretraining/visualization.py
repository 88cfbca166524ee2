"""Pictures of masked images and clips, and of what a model fills in.

Images are (H, W, 3) uint8 RGB, clips (T, H, W, 3).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from mmengine.registry import VISUALIZERS
from mmengine.structures import BaseDataElement
from mmengine.visualization import Visualizer

from ..drawing.clips import clip_sheet, evenly, frames_of
from ..drawing.sheet import enlarged, enlargement, packed_image, sheet
from ..drawing.visualizer import PictureVisualizer

HIDDEN = 128  # gray value of masked pixels


def hide(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A copy of an image or a clip with its masked units in gray; mask (M...), 1 if masked."""
    hidden = np.array(mask, bool)
    for axis, (side, units) in enumerate(zip(pixels.shape, mask.shape)):
        hidden = hidden.repeat(side // units, axis)
    return np.where(hidden[..., None], np.uint8(HIDDEN), pixels)


def panels_of(sample: BaseDataElement) -> dict[str, np.ndarray]:
    """Titles, and the pixels of a prediction: image, masked image, reconstruction."""
    image, filled = (
        np.moveaxis(getattr(sample, key).cpu().numpy(), 0, -1)
        for key in ('image', 'reconstruction')
    )
    masked = hide(image, sample.mask.cpu().numpy())
    return {'image': image, 'masked': masked, 'reconstruction': filled}


def draw_panels(panels: dict[str, np.ndarray], caption: str = '') -> np.ndarray:
    """Images side by side with titles, or clips below each other; caption above."""
    first = next(iter(panels.values()))
    if first.ndim == 4:
        shown = evenly(len(first))
        frames = [clip[i] for clip in panels.values() for i in shown]
        return clip_sheet(frames, f'{caption}: {", ".join(panels)}', columns=len(shown))
    factor = enlargement(*first.shape[:2])
    picture, views = sheet(first, list(panels), caption, factor)
    for view, image in zip(views, panels.values()):
        view[:] = enlarged(image, factor)
    return picture


def draw_frame(panels: dict[str, np.ndarray]) -> np.ndarray:
    """Images side by side without text, for videos."""
    factor = enlargement(*next(iter(panels.values())).shape[:2])
    return np.concatenate([enlarged(image, factor) for image in panels.values()], axis=1)


def draw_sample(sample: dict, metainfo: dict, caption: str) -> np.ndarray:
    """A packed sample: the image or clip, and what the model sees of it."""
    is_clip = sample['inputs'].ndim == 4
    pixels = frames_of(sample['inputs']) if is_clip else packed_image(sample)
    masked = hide(pixels, sample['data_samples'].mask.numpy())
    return draw_panels({'image': pixels, 'masked': masked}, caption)


@VISUALIZERS.register_module()
class ReconstructionVisualizer(PictureVisualizer, Visualizer):
    """Draws image, masked image and reconstruction, as the model got and returned them."""

    def picture(
        self,
        image: Any,
        data_sample: BaseDataElement | None,
        caption: str = '',
        draw_gt: bool = True,
        draw_pred: bool = True,
        **kwargs: Any,
    ) -> np.ndarray | None:
        """The picture; None for a sample without a prediction."""
        if data_sample is None or 'reconstruction' not in data_sample:
            return None
        return draw_panels(panels_of(data_sample), caption)
