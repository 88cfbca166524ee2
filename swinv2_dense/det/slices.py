"""Detect on large images slice by slice, with memory that grows with the slice, not the image.

A small object in an image of 10000 pixels that is resized to 1333 has no pixels left. Slices go
through the test pipeline like images of their own, so objects keep their pixels:

    image --> overlapping slices --> Resize, ... --> detector --> boxes and masks --> one NMS

What is kept of a slice are the boxes, scores and small mask maps that survive its own NMS. Legend:
n boxes, C classes, h and w of a mask head's map.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from mmcv.ops import batched_nms
from mmdet.models.layers import multiclass_nms
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import encode_mask_results
from mmengine.dataset import Compose, pseudo_collate
from mmengine.model import BaseTTAModel
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ..errors import ConfigError
from ..transforms.crops import covering_spans
from .large_masks import CroppedMasks, crop_large_masks
from .views import batch_view, is_known_detector, last_mask_head, view_masks

NEAR = 0.02  # of the side of a slice: boxes this close to its border may be cut by it
DEFAULT_NMS = dict(type='nms', iou_threshold=0.5)  # as in mmdet's DetTTAModel


class Slice(NamedTuple):
    """A rectangle of an image in pixels, and how far its neighbors see into it; inf for none."""

    left: int
    top: int
    right: int
    bottom: int
    left_neighbor: float  # its right border
    top_neighbor: float
    right_neighbor: float  # its left border
    bottom_neighbor: float


class Candidates(NamedTuple):
    """Detections of one or more slices, in pixels of the image."""

    boxes: Tensor  # (n, 4)
    scores: Tensor  # (n,), before the NMS of the slice decayed them
    labels: Tensor  # (n,)
    masks: Tensor | None  # (n, 1, h, w) probabilities


@MODELS.register_module()
class SlicedDetector(BaseTTAModel):
    """Wraps a detector and merges what it finds in overlapping slices of an image.

    The candidates of all slices go through one NMS with the detector's settings. Of an object that
    lies on a border, the cut part is dropped if a neighboring slice shows all of it, so objects up
    to `overlap` pixels are found whole once. Larger ones may be found in parts: choose slices and
    overlaps larger than the largest objects, or test such objects without slices. An image that one
    slice covers gives the result without slices.

    The detector has one stage, or two as in `InstanceSegTTAModel`; only the latter have masks.

    Args:
        module: The detector.
        size: Of a slice, (H, W) in pixels of the original image.
        overlap: Pixels that neighboring slices share.
        pipeline: The steps from a slice to the model's input, with `PackDetInputs` at the end.
        batch_size: Slices per forward pass.

    Raises:
        ConfigError: An argument is invalid.
    """

    encode = True  # masks of large images as RLE, which metrics take; else as `CroppedMasks`

    def __init__(
        self,
        module: dict | nn.Module,
        size: Sequence[int],
        overlap: int,
        pipeline: list,
        batch_size: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(module, **kwargs)
        check_sizes(size, overlap)
        self.size, self.overlap, self.batch_size = tuple(size), overlap, batch_size
        self.pipeline = Compose(pipeline)
        crop_large_masks(self.module)

    def test_step(self, data: dict[str, list]) -> list[DetDataSample]:
        """Whole images (3, H, W) as loaded, and their samples -> samples with `pred_instances`.

        Boxes and masks are in pixels of the image; each slice adds at most `max_per_img` objects.
        """
        samples = data['data_samples']
        for image, sample in zip(data['inputs'], samples):
            sample.pred_instances = self._detect(image, sample)
        return samples

    def _detect(self, image: Tensor, sample: DetDataSample) -> InstanceData:
        size = tuple(image.shape[1:])
        slices = slices_of(size, self.size, self.overlap)
        if len(slices) == 1:
            batch = pseudo_collate([self._pack(image, slices[0], sample)])
            return self._with_masks(self.module.test_step(batch)[0].pred_instances)
        found = []
        for start in range(0, len(slices), self.batch_size):
            part = slices[start : start + self.batch_size]
            batch = pseudo_collate([self._pack(image, piece, sample) for piece in part])
            found += [
                _without_cut_objects(_moved(candidates, piece), piece)
                for candidates, piece in zip(self._candidates(batch), part)
            ]
        return self._with_masks(self.merge_preds(found, size))

    def _pack(self, image: Tensor, piece: Slice, sample: DetDataSample) -> dict:
        pixels = image[:, piece.top : piece.bottom, piece.left : piece.right]
        pixels = np.ascontiguousarray(pixels.permute(1, 2, 0).cpu().numpy())
        meta = {key: sample.get(key) for key in ('img_id', 'img_path')}
        return self.pipeline(
            dict(img=pixels, img_shape=pixels.shape[:2], ori_shape=pixels.shape[:2], **meta)
        )

    def _candidates(self, batch: dict) -> Iterator[Candidates]:
        """Of each slice of a batch, in pixels of the slice as cut."""
        if not is_known_detector(self.module):
            for sample in self.module.test_step(batch):
                found = sample.pred_instances
                if 'masks' in found:
                    raise ConfigError(
                        f'--slice: cannot merge the masks of a {type(self.module).__name__}, only '
                        'those of Mask R-CNN, Cascade Mask R-CNN and HTC'
                    )
                yield Candidates(found.bboxes, found.scores, found.labels, None)
            return
        head = self.module.roi_head
        view = batch_view(self.module, batch)
        chosen = [survivors(raw.bboxes, raw.scores, head.test_cfg) for raw in view.raw]
        masks: list[Tensor | None] = [None] * len(chosen)
        if head.with_mask and any(len(part.labels) for part in chosen):
            masks = [
                _own_class(maps, part.labels)
                for maps, part in zip(view_masks(head, view, [p.boxes for p in chosen]), chosen)
            ]
        for part, maps, meta in zip(chosen, masks, view.metas):
            scale = part.boxes.new_tensor(meta['scale_factor']).repeat(2)
            yield part._replace(boxes=part.boxes / scale, masks=maps)

    def merge_preds(self, found: list[Candidates], size: tuple[int, int]) -> InstanceData:
        """One NMS over the candidates of all slices of an image of `size`."""
        cfg = self.module.test_cfg
        cfg = cfg.get('rcnn', cfg) if cfg else {}
        boxes, scores, labels = (torch.cat([part[i] for part in found]) for i in range(3))
        nms = cfg.get('nms', DEFAULT_NMS)
        dets, kept = batched_nms(boxes, scores, labels, nms) if len(boxes) else (boxes, [])
        kept = kept[: cfg.get('max_per_img', 100) * len(found)]
        merged = InstanceData(bboxes=boxes[kept], scores=dets[: len(kept), -1], labels=labels[kept])
        if getattr(getattr(self.module, 'roi_head', None), 'with_mask', False):
            maps = [part.masks for part in found if part.masks is not None]
            merged = self._paste(torch.cat(maps)[kept] if maps else None, merged, size)
        return merged

    def _paste(
        self, maps: Tensor | None, merged: InstanceData, size: tuple[int, int]
    ) -> InstanceData:
        """Add masks in the size of the image; the mask head selects class 0 of its only one."""
        head = self.module.roi_head
        labels = merged.labels
        merged.labels = torch.zeros_like(labels)
        meta = dict(ori_shape=size, img_shape=size, scale_factor=(1.0, 1.0))
        (pasted,) = last_mask_head(head).predict_by_feat(
            [maps], [merged], [meta], rcnn_test_cfg=head.test_cfg, rescale=True, activate_map=True
        )
        pasted.labels = labels
        return pasted

    def _with_masks(self, found: InstanceData) -> InstanceData:
        if self.encode and isinstance(found.get('masks'), CroppedMasks):
            found.masks = encode_mask_results(found.masks)
        return found


def check_sizes(size: Any, overlap: Any) -> None:
    """Check the size of slices and their overlap.

    Raises:
        ConfigError: Not two positive integers, or an overlap that is not smaller.
    """
    is_pair = isinstance(size, (list, tuple)) and len(size) == 2
    if not is_pair or not all(isinstance(side, int) and side >= 1 for side in size):
        raise ConfigError(f'--slice {size}: give the height and width of a slice in pixels')
    if not isinstance(overlap, int) or not 0 <= overlap < min(size):
        raise ConfigError(
            f'--overlap={overlap} must be at least 0 and below both sides of --slice '
            f'{size[0]} {size[1]}, in pixels'
        )


def slices_of(image: Sequence[int], size: Sequence[int], overlap: int) -> list[Slice]:
    """Slices of `size` that cover an image (H, W), row by row; the last ones are moved inside."""
    rows, columns = (
        covering_spans(extent, side, side - overlap) for extent, side in zip(image, size)
    )
    return [
        Slice(x[0], y[0], x[1], y[1], before_x, before_y, after_x, after_y)
        for y, before_y, after_y in _with_neighbors(rows)
        for x, before_x, after_x in _with_neighbors(columns)
    ]


def _with_neighbors(spans: list[tuple[int, int]]) -> list[tuple[tuple[int, int], float, float]]:
    """Spans with the end of the one before and the start of the one after."""
    ends = [-np.inf, *(stop for _, stop in spans[:-1])]
    starts = [*(start for start, _ in spans[1:]), np.inf]
    return list(zip(spans, ends, starts))


def survivors(bboxes: Tensor, scores: Tensor, cfg: dict) -> Candidates:
    """What NMS keeps of boxes (n, 4) or (n, 4C) with scores (n, C + 1), with its original score.

    A second NMS over the result keeps the same and, if soft, decays the scores the same way: what
    was dropped or cut off at `max_per_img` never suppressed anything kept.
    """
    num_classes = scores.shape[1] - 1
    _, labels, kept = multiclass_nms(
        bboxes, scores, cfg.score_thr, cfg.nms, cfg.max_per_img, return_inds=True
    )
    rows = kept // max(num_classes, 1)
    boxes = bboxes.unflatten(1, (-1, 4))
    column = labels if boxes.shape[1] > 1 else torch.zeros_like(labels)
    return Candidates(boxes[rows, column], scores[rows, labels], labels, None)


def _own_class(maps: Tensor, labels: Tensor) -> Tensor:
    """(n, C, h, w) -> (n, 1, h, w), the map of each object's class."""
    if maps.shape[1] == 1:  # class-agnostic
        return maps
    return maps[torch.arange(len(labels), device=maps.device), labels][:, None]


def _moved(found: Candidates, piece: Slice) -> Candidates:
    """From pixels of the slice to those of the image."""
    offset = found.boxes.new_tensor([piece.left, piece.top, piece.left, piece.top])
    return found._replace(boxes=found.boxes + offset)


def _without_cut_objects(found: Candidates, piece: Slice) -> Candidates:
    """Drop boxes at an inner border that lie inside a neighbor, which shows more of the object.

    A box that is at the neighbor's border, too, is kept: both slices show the same of it.
    """
    x1, y1, x2, y2 = found.boxes.unbind(1)
    near_x, near_y = NEAR * (piece.right - piece.left), NEAR * (piece.bottom - piece.top)
    is_cut = (
        (x2 >= piece.right - near_x) & (x1 > piece.right_neighbor + near_x)
        | (x1 <= piece.left + near_x) & (x2 < piece.left_neighbor - near_x)
        | (y2 >= piece.bottom - near_y) & (y1 > piece.bottom_neighbor + near_y)
        | (y1 <= piece.top + near_y) & (y2 < piece.top_neighbor - near_y)
    )
    return Candidates(*(part if part is None else part[~is_cut] for part in found))
