"""Test-time augmentation of two-stage detectors with masks, which DetTTAModel does not support."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.layers import multiclass_nms
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.model import BaseTTAModel
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ..errors import ConfigError
from .views import (
    BatchView,
    batch_view,
    into_frame,
    into_view,
    is_known_detector,
    last_mask_head,
    view_masks,
)

META_KEYS = ('ori_shape', 'img_shape', 'scale_factor', 'flip', 'flip_direction')

SizeRange = tuple[float, float]


@MODELS.register_module()
class InstanceSegTTAModel(BaseTTAModel):
    """Merge the views of an image into one set of boxes, scores, labels and masks.

    For Mask R-CNN, Cascade Mask R-CNN and HTC. The boxes and class scores of all views are
    concatenated before one multi-class NMS (soft-NMS if set in `tta_cfg`). The masks of the
    remaining boxes are computed in every view and averaged, over the same mask heads of a cascade
    as in plain testing (`MaskEnsembleHTCRoIHead`: all; mmdet's HTC: the last). Boxes are merged at
    the size of the first view, unflipped: a single unflipped view is bitwise equal to plain
    testing. Size ranges follow ViT-Adapter's HTC++ for mmdet 2 (`HybridTaskCascadeAug`).

    Args:
        tta_cfg: `score_thr`, `nms` and `max_per_img` of the merged boxes; the defaults are the
            model's `test_cfg.rcnn`.
        size_ranges: Restricts the boxes of each view by size: a (low, high) per view, or None for
            all boxes. A box counts if `low <= sqrt(width * height) < high`, in pixels of the
            original image. Each entry of a shorter list applies to equally many consecutive views:
            with the `Resize`s before the `RandomFlip`s in `TestTimeAug`, one entry per scale.
            Masks are computed in every view.
        module: The detector.

    Raises:
        ConfigError: The detector is of another kind, or an argument or the pipeline is invalid.
    """

    def __init__(
        self,
        module: dict | nn.Module,
        tta_cfg: dict | None = None,
        size_ranges: Sequence[SizeRange | None] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(module, **kwargs)
        _check_detector(self.module)
        _check_settings(tta_cfg or {}, size_ranges or [])
        self.tta_cfg = ConfigDict({**self.module.roi_head.test_cfg, **(tta_cfg or {})})
        self.size_ranges = size_ranges

    def test_step(self, data: dict[str, list]) -> list[DetDataSample]:
        """Output of `TestTimeAug` -> one data sample per image.

        `inputs` and `data_samples` are indexed by view and image; `pred_instances` are in pixels of
        the original image.
        """
        if not isinstance(data['data_samples'][0], (list, tuple)):
            raise ConfigError('the pipeline returns one view per image; end it in TestTimeAug')
        batches = ({k: v[i] for k, v in data.items()} for i in range(len(data['data_samples'])))
        return self.merge_preds([self._view(batch) for batch in batches])

    def merge_preds(self, views: list[BatchView]) -> list[DetDataSample]:
        """Merge the views of a batch into the data samples of the first."""
        head = self.module.roi_head
        ranges = _ranges(self.size_ranges, len(views))
        images = range(len(views[0].metas))
        results = [_merge(views, image, ranges, self.tta_cfg) for image in images]
        results = last_mask_head(head).predict_by_feat(
            _mean_masks(head, views, [result.bboxes for result in results]),
            results,
            views[0].metas,
            rcnn_test_cfg=head.test_cfg,
            rescale=True,
            activate_map=True,
        )
        return self.module.add_pred_to_datasample(views[0].samples, results)

    def _view(self, batch: dict[str, list]) -> BatchView:
        for sample in batch['data_samples']:
            _check_meta(sample.metainfo)
        return batch_view(self.module, batch)


def gate(scores: Tensor, boxes: Tensor, size_range: SizeRange | None, meta: dict) -> Tensor:
    """Scores (n, classes + 1), -inf for classes whose boxes (n, 4k) are outside `size_range`.

    The boxes are in pixels of the view with this `meta`.
    """
    if size_range is None:
        return scores
    left, top, right, bottom = boxes.unflatten(1, (-1, 4)).unbind(-1)
    x_scale, y_scale = meta['scale_factor']
    sizes = ((right - left) * (bottom - top) / (x_scale * y_scale)).sqrt()
    outside = (sizes < size_range[0]) | (sizes >= size_range[1])
    return torch.cat([scores[:, :-1].masked_fill(outside, -torch.inf), scores[:, -1:]], dim=1)


def _merge(
    views: list[BatchView], image: int, ranges: list[SizeRange | None], cfg: ConfigDict
) -> InstanceData:
    """The boxes of all views of one image after NMS, in the frame of the first."""
    frame = views[0].metas[image]
    boxes, scores = [], []
    for view, size_range in zip(views, ranges):
        raw = view.raw[image]
        if len(raw.bboxes):  # empty ones are always (0, 4)
            boxes.append(into_frame(raw.bboxes, view.metas[image], frame))
            scores.append(gate(raw.scores, boxes[-1], size_range, frame))
    dets, labels = multiclass_nms(
        torch.cat(boxes or [raw.bboxes]),
        torch.cat(scores or [raw.scores]),
        cfg.score_thr,
        cfg.nms,
        cfg.max_per_img,
    )
    return InstanceData(bboxes=dets[:, :-1], scores=dets[:, -1], labels=labels)


def _mean_masks(head: nn.Module, views: list[BatchView], boxes: list[Tensor]) -> list[Tensor]:
    """Per image, the mask probabilities (n, C, h, w) of boxes in the first view's frame."""
    sums = None
    for view in views:
        moved = [into_view(part, *pair) for part, *pair in zip(boxes, view.metas, views[0].metas)]
        masks = view_masks(head, view, moved)
        sums = masks if sums is None else [a + b for a, b in zip(sums, masks)]
    return [total / len(views) for total in sums]


def _ranges(given: Sequence[SizeRange | None] | None, views: int) -> list[SizeRange | None]:
    """The size range of every view."""
    given = given or [None]
    if views % len(given):
        raise ConfigError(
            f'tta_model.size_ranges has {len(given)} entries for {views} views of an image; give '
            'one per view, or one per scale'
        )
    return [size_range for size_range in given for _ in range(views // len(given))]


def _check_detector(detector: nn.Module) -> None:
    head = getattr(detector, 'roi_head', None)
    if not (is_known_detector(detector) and head.with_mask):
        raise ConfigError(
            'InstanceSegTTAModel is for Mask R-CNN, Cascade Mask R-CNN and HTC, with an RPN and '
            f'mask heads, not for a {type(detector).__name__} (roi_head: {type(head).__name__}); '
            'for boxes alone, set tta_model.type=DetTTAModel'
        )


def _check_settings(tta_cfg: dict, size_ranges: Sequence[SizeRange | None]) -> None:
    unknown = sorted(set(tta_cfg) - {'score_thr', 'nms', 'max_per_img'})
    if unknown:
        raise ConfigError(f'tta_model.tta_cfg takes score_thr, nms, max_per_img, not {unknown}')
    for entry in size_ranges:
        if entry is not None and not (len(entry) == 2 and 0 <= entry[0] < entry[1]):
            raise ConfigError(
                f'tta_model.size_ranges: {entry} must be None or (low, high) with 0 <= low < high'
            )


def _check_meta(meta: dict) -> None:
    missing = [key for key in META_KEYS if key not in meta]
    if missing:
        raise ConfigError(
            f'test-time augmentation needs {", ".join(missing)} of every view: add them to '
            'meta_keys of PackDetInputs in tta_pipeline. RandomFlip sets flip and flip_direction; '
            "without flips, put dict(type='RandomFlip', prob=0.0) before PackDetInputs"
        )
    original = [side * scale for side, scale in zip(meta['ori_shape'], meta['scale_factor'][::-1])]
    if meta['flip'] and any(abs(a - b) >= 1 for a, b in zip(meta['img_shape'], original)):
        raise ConfigError(
            f'tta_pipeline: img_shape={tuple(meta["img_shape"])} of a flipped view is not '
            f'ori_shape={tuple(meta["ori_shape"])} times scale_factor={meta["scale_factor"]}, so '
            'its boxes cannot be mapped back. Resize once, do not pad or crop, and leave padding '
            'to model.data_preprocessor.pad_size_divisor'
        )
