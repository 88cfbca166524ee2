"""Recognition of clips: tools/infer.py for mmaction2."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from matplotlib.font_manager import findfont
from mmaction.apis.inferencers import ActionRecogInferencer
from mmengine.config import Config
from mmengine.dataset import Compose
from PIL import Image, ImageDraw, ImageFont

from ..engine.inferencer import CheckedInferencer
from ..engine.outputs import Outputs
from ..engine.video_files import frame_rate, read_frames, write_frames

TOP = 5  # classes that are named
SMALLEST = 8  # pixels, of letters


class RecognitionInferencer(CheckedInferencer, ActionRecogInferencer):
    """The best classes of each video, over the views of the test pipeline."""

    def process(self, path: Path, outputs: Outputs) -> None:
        scores = self.predict(str(path)).pred_score
        names = self.model.dataset_meta['classes']
        values, labels = (best.tolist() for best in scores.topk(min(TOP, len(scores))))
        top = [dict(label=i, name=names[i], score=value) for i, value in zip(labels, values)]
        lines = [f'{best["score"]:.3f}  {best["name"]}' for best in top]
        rate = frame_rate(path)
        with outputs.whole('pictures', '.mp4') as draft:
            write_frames(draft, (labelled(frame, lines) for frame in read_frames(path)), rate)
        outputs.write_json(dict(input=str(path), top=top))

    def _init_pipeline(self, cfg: Config) -> Compose:
        """The config's own: mmaction2's class takes one view of it, and decord alone."""
        pack = dict(type='InferencerPackInput', input_format='video')
        return Compose([pack, *cfg.test_dataloader.dataset.pipeline])


def labelled(frame: np.ndarray, lines: Sequence[str]) -> np.ndarray:
    """An RGB frame (H, W, 3) with lines of text in its upper left corner, on a darkened ground."""
    height, width = frame.shape[:2]
    text = _text(tuple(lines), height, width)
    drawn = frame.copy()
    ground = drawn[: text.shape[0], : text.shape[1]]
    ground[:] = np.maximum(ground // 3, text[..., None])
    return drawn


@lru_cache(maxsize=1)  # all frames of a video have the same
def _text(lines: tuple[str, ...], height: int, width: int) -> np.ndarray:
    """Lines, white on black, at most (height, width); letters shrink where the width is short."""
    size = max(SMALLEST, height // 20)
    longest = max(_font(size).getlength(line) for line in lines)
    if longest > width - size:
        size = max(SMALLEST, size * (width - size) // round(longest))
    font = _font(size)
    longest = max(font.getlength(line) for line in lines)
    step = round(1.3 * size)
    picture = Image.new('L', (round(longest) + size, step * len(lines) + size // 2))
    for row, line in enumerate(lines):
        ImageDraw.Draw(picture).text((size // 2, row * step + size // 4), line, 255, font)
    return np.asarray(picture)[:height, :width]


def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(findfont('DejaVu Sans'), size)
