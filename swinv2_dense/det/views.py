"""What the RoI heads of a detector see of a view of an image: merged by TTA and over slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmdet.models.roi_heads import CascadeRoIHead, HybridTaskCascadeRoIHead, StandardRoIHead
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi, bbox_flip, scale_boxes
from mmengine.structures import InstanceData
from torch import Tensor, nn

MASK_AXES = dict(horizontal=(3,), vertical=(2,), diagonal=(2, 3))  # of masks (n, C, h, w)
ROI_HEADS = (StandardRoIHead, CascadeRoIHead, HybridTaskCascadeRoIHead)


@dataclass
class BatchView:
    """One augmentation of a batch of images; lists have one entry per image.

    Attributes:
        samples: Data samples.
        metas: Their metas: sizes, scale factor and flip.
        maps: The neck's maps, each (B, C, H, W).
        semantic: HTC's semantic feature, as an argument of the RoI head's methods.
        raw: Boxes (n, 4) or one per class (n, 4 * classes), in pixels of this view; scores
            (n, classes + 1), the last for the background.
    """

    samples: list[DetDataSample]
    metas: list[dict]
    maps: Sequence[Tensor]
    semantic: dict[str, Tensor | None]
    raw: list[InstanceData]


def is_known_detector(detector: nn.Module) -> bool:
    """Whether a detector has an RPN, and RoI heads that predict as in mmdet."""
    head = getattr(detector, 'roi_head', None)
    return getattr(detector, 'with_rpn', False) and any(
        type(head).predict_mask is kind.predict_mask and type(head).predict is kind.predict
        for kind in ROI_HEADS
        if isinstance(head, kind)
    )


def batch_view(detector: nn.Module, batch: dict) -> BatchView:
    """Run a detector on `inputs` and `data_samples` of images up to its boxes before NMS."""
    head = detector.roi_head
    batch = detector.data_preprocessor(batch, False)
    samples = batch['data_samples']
    metas = [sample.metainfo for sample in samples]
    maps = detector.extract_feat(batch['inputs'])
    proposals = detector.rpn_head.predict(maps, samples, rescale=False)
    semantic = {}
    if isinstance(head, HybridTaskCascadeRoIHead):
        semantic['semantic_feat'] = head.semantic_head(maps)[1] if head.with_semantic else None
    raw = head.predict_bbox(maps, metas, proposals, rcnn_test_cfg=None, **semantic)
    return BatchView(samples, metas, maps, semantic, raw)


def last_mask_head(head: nn.Module) -> nn.Module:
    """The mask head of a RoI head, or that of the last stage of a cascade."""
    return head.mask_head[-1] if isinstance(head, CascadeRoIHead) else head.mask_head


def into_frame(boxes: Tensor, meta: dict, frame: dict) -> Tensor:
    """Boxes (n, 4k) of a view -> their coordinates in the view `frame` without its flip."""
    if meta['flip']:
        boxes = bbox_flip(boxes, meta['img_shape'], meta['flip_direction'])
    return scale_boxes(boxes, _scales(meta, frame))


def into_view(boxes: Tensor, meta: dict, frame: dict) -> Tensor:
    """The inverse of `into_frame`."""
    boxes = scale_boxes(boxes, _scales(frame, meta))
    return bbox_flip(boxes, meta['img_shape'], meta['flip_direction']) if meta['flip'] else boxes


def _scales(meta: dict, target: dict) -> tuple[float, float]:
    """Scale factors of x and y from one view to another; exactly 1 between equal ones."""
    (x, y), (target_x, target_y) = meta['scale_factor'], target['scale_factor']
    return target_x / x, target_y / y


def view_masks(head: nn.Module, view: BatchView, boxes: list[Tensor]) -> list[Tensor]:
    """Per image, the unflipped mask probabilities of a view's boxes, averaged over stages."""
    sizes = [len(part) for part in boxes]
    stages = [logits.split(sizes) for logits in _mask_logits(head, view, bbox2roi(boxes))]
    masks = []
    for image, meta in zip(zip(*stages), view.metas):
        mean = torch.stack([logits.sigmoid() for logits in image]).mean(dim=0)
        masks.append(mean.flip(MASK_AXES[meta['flip_direction']]) if meta.get('flip') else mean)
    return masks


def _mask_logits(head: nn.Module, view: BatchView, rois: Tensor) -> list[Tensor]:
    """Mask logits (n, C, h, w) for rois (n, 5), per stage."""
    if isinstance(head, HybridTaskCascadeRoIHead):
        results = head._mask_forward(-1, view.maps, rois, **view.semantic, training=False)
        return results['mask_preds']
    if isinstance(head, CascadeRoIHead):
        stages = range(head.num_stages)
        return [head._mask_forward(stage, view.maps, rois)['mask_preds'] for stage in stages]
    return [head._mask_forward(view.maps, rois)['mask_preds']]
