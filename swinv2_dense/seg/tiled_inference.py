"""Test segmentors with memory that does not grow with pixels times classes.

mmseg keeps the logits of all classes at the size of the test image, and again at the size of the
original image: 10 GB each for 4096 x 4096 pixels and 150 classes. Here only the head's own logits,
at its stride, of the windows that overlap a band of rows are kept. They are resized, merged and
classified band by band; only labels have full size. Legend: C classes, H, W of the test image (the
model's input, including padding), h, w of a head's map.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.models import EncoderDecoder
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from ..transforms.crops import covering_spans

BAND = 2**23  # logits of a band, 32 MiB in fp32; about four copies exist at a time


@MODELS.register_module()
class TiledEncoderDecoder(EncoderDecoder):
    """mmseg's `EncoderDecoder`, tested with bounded memory; takes its arguments.

    With sliding windows, memory does not grow with the image. In whole mode, the maps of backbone
    and head grow; the logits of all classes do not.

    Labels are the same unless the best classes tie within rounding. Results have no `seg_logits`;
    if you need them, use `EncoderDecoder`. Images of a batch are tested one by one. Heads that
    resize their logits themselves (Mask2Former) return them at the size of a window, and use the
    memory for that. Under autocast logits are merged in fp32; mmseg resizes bf16, which causes more
    ties.
    """

    def predict(
        self, inputs: Tensor, data_samples: list[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        """Images (N, 3, H, W) -> samples with `pred_sem_seg`, (1, H, W) of the original, int64."""
        samples = data_samples or [SegDataSample() for _ in inputs]
        for image, sample in zip(inputs, samples):
            labels = label_map(self, [TiledView(self, image[None], sample.metainfo)])
            sample.pred_sem_seg = PixelData(data=labels[None])
        return samples


def label_map(model: EncoderDecoder, views: Sequence[TiledView]) -> Tensor:
    """Labels (H, W) of an original image, int64, from the mean probabilities of its views.

    With one class, the head's `threshold` separates labels 0 and 1.
    """
    height, width = views[0].ori_shape
    band = max(1, BAND // max(view.row_elements for view in views))
    labels = views[0].image.new_empty((height, width), dtype=torch.long)
    for start in range(0, height, band):
        stop = min(start + band, height)
        if len(views) == 1 and model.out_channels > 1:
            scores = views[0].rows(start, stop)
        else:
            scores = sum(_probabilities(view.rows(start, stop)) for view in views) / len(views)
        one_class = model.out_channels == 1
        found = scores[0] > model.decode_head.threshold if one_class else scores.argmax(dim=0)
        labels[start:stop] = found
    return labels


def _probabilities(logits: Tensor) -> Tensor:
    return logits.softmax(dim=0) if len(logits) > 1 else logits.sigmoid()


class TiledView:
    """Logits of one augmented view of an image, by rows of the original image.

    Request rows from top to bottom: the windows of the last request are kept, others are computed
    on demand.
    """

    def __init__(self, model: EncoderDecoder, image: Tensor, meta: dict) -> None:
        """From an image (1, 3, H, W) and the metainfo of its data sample."""
        self.model, self.image, self.meta = model, image, meta
        self.align_corners = model.align_corners
        self.dtype = torch.promote_types(image.dtype, torch.float32)
        size = image.shape[2:]
        self.ori_shape = tuple(meta.get('ori_shape', size)[:2])
        padding = meta.get('img_padding_size', meta.get('padding_size', (0, 0, 0, 0)))
        self.left, right, self.top, bottom = padding
        self.inner = size[0] - self.top - bottom, size[1] - self.left - right
        self.flip = meta.get('flip_direction') if meta.get('flip') else None
        if self.flip not in (None, 'horizontal', 'vertical'):
            raise ValueError(
                f'flip_direction={self.flip!r} cannot be undone; use horizontal or vertical'
            )
        self.spans_y, self.spans_x = windows(model.test_cfg, size)
        self.kept: dict[tuple[int, int], list[Tensor]] = {}

    @property
    def row_elements(self) -> int:
        """Logits for one row of the original image, at the larger of the two sizes."""
        here = self.image.shape[3] * self.inner[0] / self.ori_shape[0]
        return int(self.model.out_channels * max(here, self.ori_shape[1])) + 1

    def rows(self, start: int, stop: int) -> Tensor:
        """(C, stop - start, width): logits of these rows, equal to those in `seg_logits`."""
        heights = self.inner[0], self.ori_shape[0]
        sources = row_sources(heights, start, stop, self.align_corners, self.dtype)
        rows = self._inner_rows(sources.first, sources.last)
        return resize_rows(rows, sources, self.ori_shape[1], self.align_corners)

    def _inner_rows(self, start: int, stop: int) -> Tensor:
        """Rows of the test image, unpadded and unflipped."""
        height, width = self.inner
        if self.flip == 'vertical':
            start, stop = height - stop, height - start
        rows = self._rows(start + self.top, stop + self.top)[..., self.left : self.left + width]
        axes = dict(horizontal=[2], vertical=[1]).get(self.flip)
        return rows.flip(axes) if axes else rows

    def _rows(self, start: int, stop: int) -> Tensor:
        """(C, stop - start, W): rows of the test image, averaged over overlapping windows."""
        self._keep_windows(start, stop)
        size = stop - start, self.image.shape[3]
        total = self.image.new_zeros((self.model.out_channels, *size), dtype=self.dtype)
        count = self.image.new_zeros(size, dtype=self.dtype)
        for (top, bottom), kept in self.kept.items():
            first, last = max(start, top), min(stop, bottom)
            here = slice(first - start, last - start)
            for (left, right), logits in zip(self.spans_x, kept):
                total[:, here, left:right] += self._window_rows(
                    logits, (bottom - top, right - left), first - top, last - top
                )
                count[here, left:right] += 1
        return total.div_(count)

    def _window_rows(self, logits: Tensor, size: tuple[int, int], start: int, stop: int) -> Tensor:
        """Rows of a head's logits (C, h, w) resized to the size of its window."""
        heights = logits.shape[1], size[0]
        sources = row_sources(heights, start, stop, self.align_corners, self.dtype)
        rows = logits[:, sources.first : sources.last].to(self.dtype)
        return resize_rows(rows, sources, size[1], self.align_corners)

    def _keep_windows(self, start: int, stop: int) -> None:
        """Keep the logits of exactly the windows that overlap these rows."""
        spans = [span for span in self.spans_y if span[0] < stop and span[1] > start]
        self.kept = {span: self.kept[span] for span in spans if span in self.kept}
        for top, bottom in spans:
            if (top, bottom) not in self.kept:
                row = self.image[:, :, top:bottom]
                self.kept[top, bottom] = [
                    head_logits(self.model, row[..., left:right], self.meta)[0]
                    for left, right in self.spans_x
                ]


def windows(test_cfg: dict, size: Sequence[int]) -> list[list[tuple[int, int]]]:
    """(start, stop) of the windows along both axes, as in `EncoderDecoder.slide_inference`.

    Raises:
        ValueError: An unknown mode, missing sizes, or gaps between windows.
    """
    mode = test_cfg.get('mode', 'whole')
    if mode == 'whole':
        return [[(0, extent)] for extent in size]
    if mode != 'slide':
        raise ValueError(f'model.test_cfg.mode={mode!r} must be whole or slide')
    spans = []
    crops, strides = (test_cfg.get(key) for key in ('crop_size', 'stride'))
    if not all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in (crops, strides)):
        raise ValueError(
            f'model.test_cfg.crop_size={crops} and stride={strides} must be two numbers of pixels '
            'each, height and width'
        )
    for extent, crop, stride in zip(size, crops, strides):
        if not 1 <= stride <= crop:
            raise ValueError(
                f'model.test_cfg.stride={strides} must be at least 1 and at most crop_size={crops}'
            )
        spans.append(covering_spans(extent, crop, stride))
    return spans


def head_logits(model: EncoderDecoder, image: Tensor, meta: dict) -> Tensor:
    """Logits (1, C, h, w) of an image (1, 3, H, W), at the head's own stride if possible.

    A head that resizes like `BaseDecodeHead` is called without this last step.
    """
    size = image.shape[2:]
    metas = [{**meta, 'img_shape': size, 'pad_shape': size}]  # heads read one or the other
    head = model.decode_head
    methods = ((EncoderDecoder, model, 'encode_decode'), (BaseDecodeHead, head, 'predict'),
               (BaseDecodeHead, head, 'predict_by_feat'))  # fmt: skip
    if all(getattr(type(own), name, None) is getattr(base, name) for base, own, name in methods):
        return head(model.extract_feat(image))
    return model.encode_decode(image, metas)


class RowSources(NamedTuple):
    """Source rows of a resized map: two per row, in rows first..last of the original map."""

    first: int
    last: int
    low: Tensor  # the upper of the two, counted from `first`
    weight: Tensor  # of the lower


def row_sources(
    heights: tuple[int, int], start: int, stop: int, align_corners: bool, dtype: torch.dtype
) -> RowSources:
    """Sources of rows start..stop when a map is resized from the first height to the second.

    Positions are rounded to `dtype`, at least fp32, at the same points as in `F.interpolate`.
    """
    inside, outside = heights
    if align_corners:
        inside, outside = inside - 1, max(outside - 1, 1)
    scale = (torch.tensor(inside, dtype=dtype) / outside).double()
    rows = torch.arange(start, stop, dtype=torch.float64)
    source = rows * scale if align_corners else ((rows + 0.5) * scale - 0.5).clamp(min=0)
    source = source.to(dtype)
    low = source.long().clamp(max=heights[0] - 1)
    first, last = int(low[0]), min(int(low[-1]) + 2, heights[0])
    return RowSources(first, last, low - first, (source - low).clamp(0, 1))


def resize_rows(rows: Tensor, sources: RowSources, width: int, align_corners: bool) -> Tensor:
    """Rows first..last of a map (C, rows, w) -> rows of the bilinearly resized map, (C, n, width).

    Equal within rounding to `F.interpolate` of the whole map.
    """
    low = sources.low.to(rows.device)
    if sources.weight.any():
        high = (low + 1).clamp(max=rows.shape[1] - 1)
        weight = sources.weight.to(rows)[:, None]
        rows = torch.lerp(rows[:, low], rows[:, high], weight)
    else:
        rows = rows[:, low]
    if rows.shape[2] == width:
        return rows
    size = rows.shape[1], width
    return F.interpolate(rows[None], size, mode='bilinear', align_corners=align_corners)[0]
