"""Draws objects on an image: masks, boxes and names in the color of their class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np

from .palette import ink_on
from .sheet import enlarged, enlargement, sheet
from .style import Style
from .text import SMALLEST, LabelPlacer, block, font_size, line_width, paste, wrapped

ALPHA = 0.35  # opacity of masks
CROWDED = 0.35  # share of the picture that labels may cover before they shrink
GRAY = (120, 120, 120)  # color of ignored objects


class Objects(NamedTuple):
    """Objects of one image, in pixels.

    Args:
        boxes: (N, 4) x1, y1, x2, y2; boxes without area (of models without boxes) follow the mask.
        labels: (N,) class indices.
        scores: (N,), or None for ground truth.
        masks: None, an array or tensor (N, H, W), mmdet's `BitmapMasks` or `PolygonMasks`, or a
            list of COCO's RLE dicts; masks are decoded one at a time.
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray | None = None
    masks: Any = None

    @classmethod
    def of(cls, instances: Any) -> Objects:
        """From mmdet's `InstanceData`."""
        boxes = instances.bboxes if 'bboxes' in instances else np.zeros((len(instances), 4))
        boxes = getattr(boxes, 'tensor', boxes)
        scores = _array(instances.scores) if 'scores' in instances else None
        return cls(
            _array(boxes).reshape(-1, 4).astype(float),
            _array(instances.labels).astype(int),
            scores,
            instances.get('masks'),
        )

    def above(self, score: float) -> Objects:
        """The objects with at least this score."""
        kept = np.flatnonzero(self.scores >= score)
        masks = None if self.masks is None else _Chosen(self.masks, kept)
        return Objects(self.boxes[kept], self.labels[kept], self.scores[kept], masks)

    def mask(self, index: int, height: int, width: int) -> tuple[int, int, np.ndarray] | None:
        """x, y and the (h, w) bool mask of its bounding box; None if the mask is empty."""
        full = self.masks[index] if isinstance(self.masks, _Chosen) else _one(self.masks, index)
        full = full[:height, :width]
        rows, columns = np.flatnonzero(full.any(axis=1)), np.flatnonzero(full.any(axis=0))
        if not len(rows):
            return None
        window = full[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        return int(columns[0]), int(rows[0]), window.astype(bool)


class _Chosen:
    """A selection of masks, without a copy."""

    def __init__(self, masks: Any, indices: np.ndarray) -> None:
        self.masks, self.indices = masks, indices

    def __getitem__(self, index: int) -> np.ndarray:
        return _one(self.masks, int(self.indices[index]))


def detection_sheet(
    image: np.ndarray,
    panels: dict[str, Objects],
    style: Style,
    caption: str = '',
    ignored: dict[str, Objects] | None = None,
    alpha: float = ALPHA,
) -> np.ndarray:
    """A picture with a panel of objects per title, such as truth and prediction.

    Args:
        image: RGB (H, W, 3) uint8.
        panels: Objects by title.
        ignored: Objects of a panel that the evaluation ignores (crowds), drawn in gray.
        alpha: Opacity of the masks.
    """
    factor = enlargement(*image.shape[:2])
    picture, views = sheet(image, list(panels), caption, factor)
    for (title, objects), view in zip(panels.items(), views):
        draw_objects(view, objects, style, factor, alpha, (ignored or {}).get(title))
    return picture


def draw_objects(
    picture: np.ndarray,
    objects: Objects | None,
    style: Style,
    factor: int = 1,
    alpha: float = ALPHA,
    ignored: Objects | None = None,
) -> None:
    """Draw on an RGB picture (factor * H, factor * W, 3) in place, the largest objects first.

    Decodes one mask at a time, so memory is a few bytes per pixel of the largest mask.
    """
    height, width = picture.shape[:2]
    size = font_size(height, width)
    drawn = []  # box, text, color, rank
    for part, is_ignored in [(ignored, True), (objects, False)]:
        for index in _largest_first(part):
            color = GRAY if is_ignored else style.color(int(part.labels[index]))
            box = _draw_one(picture, part, index, color, factor, alpha, line_width(size))
            if box is None:
                continue
            text = style.name(int(part.labels[index])) + (' (ignored)' if is_ignored else '')
            score = None if part.scores is None else float(part.scores[index])
            text += '' if score is None else f' {score:.2f}'
            drawn.append((box, text, color, 1.0 if score is None else score))
    drawn.sort(key=lambda label: -label[3])  # by score, and the sort is stable: then by size
    draw_labels(picture, [label[:3] for label in drawn], size)


def draw_labels(
    picture: np.ndarray,
    labels: list[tuple[tuple[float, ...], str, Any]],
    size: int,
    centered: bool = False,
) -> None:
    """Draw (box, text, color) next to their boxes, the first on top; smaller if crowded."""
    height, width = picture.shape[:2]
    pad = max(2, size // 8)
    area = sum(len(text) * 0.6 * size * 1.4 * size for _, text, _ in labels)
    if area > CROWDED * height * width:
        size = max(SMALLEST, round(size * (CROWDED * height * width / area) ** 0.5))
    placer, patches = LabelPlacer(height, width), []
    for box, text, color in labels:
        lines = wrapped(text, size, width - 2 * pad)
        patch = block(lines, size, ink_on(color), color, pad)
        patches.append((patch, *placer.place(box, patch.shape[:2], centered)))
    for patch, x, y in reversed(patches):
        paste(picture, patch, x, y)


def _draw_one(
    picture: np.ndarray,
    objects: Objects,
    index: int,
    color: tuple[int, int, int],
    factor: int,
    alpha: float,
    line: int,
) -> tuple[float, ...] | None:
    """Draw mask and box of an object; returns its box in the picture, or None if it has neither."""
    box = objects.boxes[index]
    if not np.isfinite(box).all():
        return None
    found = None
    if objects.masks is not None:
        shape = picture.shape[0] // factor, picture.shape[1] // factor
        found = objects.mask(index, *shape)
    if found is not None:
        x, y, mask = found
        _tint(picture, x * factor, y * factor, enlarged(mask, factor), color, alpha, line)
    if box[2] > box[0] and box[3] > box[1]:
        _outline(picture, box * factor, color, line)
        return tuple((box * factor).tolist())
    if found is None:
        return None
    return x * factor, y * factor, (x + mask.shape[1]) * factor, (y + mask.shape[0]) * factor


def _tint(
    picture: np.ndarray, x: int, y: int, mask: np.ndarray, color: Any, alpha: float, line: int
) -> None:
    """Blend a color into the pixels of a mask, and draw its border in the opaque color."""
    height, width = mask.shape
    window = picture[y : y + height, x : x + width]
    ink = np.asarray(color, np.uint8)
    weight = round(256 * alpha)
    levels = (np.arange(256)[:, None] * (256 - weight) + ink.astype(int) * weight + 128) // 256
    drawn = cv2.LUT(np.ascontiguousarray(window), levels.astype(np.uint8)[:, None])
    edge = (line + 1) // 2  # thinner than the box
    kernel = np.ones((2 * edge + 1, 2 * edge + 1), np.uint8)
    cover = mask.view(np.uint8)
    inner = cv2.erode(cover, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    drawn[cover != inner] = ink
    window[:] = cv2.copyTo(drawn, cover, np.ascontiguousarray(window))


def _outline(picture: np.ndarray, box: np.ndarray, color: Any, line: int) -> None:
    """Draw the outline of a box, `line` pixels wide and inside the box, clipped to the picture."""
    height, width = picture.shape[:2]
    limits = np.array([width, height, width, height])
    x1, y1, x2, y2 = np.clip(np.round(box), 0, limits).astype(int).tolist()
    x2, y2 = max(x2, min(x1 + 1, width)), max(y2, min(y1 + 1, height))
    picture[y1 : min(y1 + line, y2), x1:x2] = color
    picture[max(y2 - line, y1) : y2, x1:x2] = color
    picture[y1:y2, x1 : min(x1 + line, x2)] = color
    picture[y1:y2, max(x2 - line, x1) : x2] = color


def _largest_first(objects: Objects | None) -> Iterator[int]:
    if objects is not None and len(objects.labels):
        sides = objects.boxes[:, 2:] - objects.boxes[:, :2]
        yield from np.argsort(-sides.prod(axis=1), kind='stable').tolist()


def _one(masks: Any, index: int) -> np.ndarray:
    """One mask (H, W), from any container."""
    if hasattr(masks, 'to_ndarray'):  # mmdet's BitmapMasks and PolygonMasks
        return masks[index : index + 1].to_ndarray()[0]
    one = masks[index]
    if isinstance(one, dict):
        from pycocotools import mask as coco_masks

        rle = one
        if isinstance(rle['counts'], list):
            rle = coco_masks.frPyObjects(rle, *rle['size'])
        return coco_masks.decode(rle)
    return _array(one)


def _array(values: Any) -> np.ndarray:
    return np.asarray(values.detach().cpu() if hasattr(values, 'detach') else values)
