"""The two forms in which Plain-DETR describes boxes: fractions of the image, or pixels.

Legend: B images, Q queries or proposals. Boxes are (cx, cy, w, h); the extent of an image is the
(w, h) of its map in pixels, (B, 2): its size, rounded up to whole cells.
"""

from __future__ import annotations

import math

import torch
from mmdet.models.layers.transformer import inverse_sigmoid
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_xyxy_to_cxcywh
from torch import Tensor

BORDER = 0.01  # anchors with a coordinate this close to 0 or 1 are left out
MAX_LOG_RATIO = abs(math.log(16 / 1000))  # a step changes a side by at most a factor of 62.5


@TASK_UTILS.register_module()
class NormalizedBoxes:
    """Boxes as fractions of the image, corrected in the space of logits (Deformable DETR)."""

    def anchors(
        self, centers: Tensor, cells: Tensor, stride: int, level: int, extents: Tensor
    ) -> tuple[Tensor, Tensor]:
        """An anchor per cell of a level of the proposals.

        Args:
            centers: (Q, 2), (x, y) of the cells' centers in cells.
            cells: (B, 2), whole cells (w, h) in the map of an image.
            stride: Pixels per cell.
            level: 0 for the finest level; anchors double from one to the next.
            extents: (B, 2).

        Returns:
            Anchors (B, Q, 4) as `decode` takes them, and which of them are used, (B, Q).
        """
        centers = centers / cells[:, None]
        anchors = torch.cat([centers, torch.full_like(centers, 0.05 * 2.0**level)], -1)
        used = ((anchors > BORDER) & (anchors < 1 - BORDER)).all(-1)
        return torch.logit(anchors).masked_fill(~used[..., None], float('inf')), used

    def decode(self, anchors: Tensor, deltas: Tensor, extents: Tensor) -> Tensor:
        """Proposals (B, Q, 4) from anchors and predicted deltas."""
        return (anchors + deltas).sigmoid()

    def refine(self, boxes: Tensor, deltas: Tensor, extents: Tensor) -> Tensor:
        """Boxes (..., B, Q, 4) of a decoder layer from those of the layer before."""
        return (inverse_sigmoid(boxes) + deltas).sigmoid()

    def to_map(self, boxes: Tensor, extents: Tensor) -> Tensor:
        """(x1, y1, x2, y2) in pixels of the map, (B, Q, 4)."""
        return bbox_cxcywh_to_xyxy(boxes) * extents.repeat(1, 2)[:, None]

    def to_image(self, boxes: Tensor, img_shape: tuple[int, int]) -> Tensor:
        """(x1, y1, x2, y2) in pixels of an image of size (H, W), (Q, 4)."""
        return bbox_cxcywh_to_xyxy(boxes) * _factor(boxes, img_shape)

    def regression(
        self, boxes: Tensor, references: Tensor, deltas: Tensor, truth: Tensor, img_shape: tuple
    ) -> tuple[Tensor, Tensor]:
        """Prediction and target of the L1 loss, (n, 4) each.

        Args:
            boxes: (n, 4), refined from `references` by `deltas`, (n, 4) each.
            truth: (n, 4), (x1, y1, x2, y2) in pixels of the image.
            img_shape: (H, W).
        """
        return boxes, bbox_xyxy_to_cxcywh(truth / _factor(truth, img_shape))


@TASK_UTILS.register_module()
class PixelBoxes:
    """Boxes in pixels, corrected relative to their size (box reparameterization, section 4.3).

    Args:
        anchor_size: Side of the anchors of the finest level, in pixels.
    """

    def __init__(self, anchor_size: float = 50.0) -> None:
        self.anchor_size = anchor_size

    def anchors(
        self, centers: Tensor, cells: Tensor, stride: int, level: int, extents: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `NormalizedBoxes.anchors`. Anchors that are not used are squares at the far end."""
        centers = (centers * stride).expand(len(cells), -1, -1)
        sides = torch.full_like(centers, self.anchor_size * 2.0**level)
        anchors = torch.cat([centers, sides], -1)
        limits = extents.repeat(1, 2)[:, None]
        used = ((anchors > BORDER * limits) & (anchors < (1 - BORDER) * limits)).all(-1)
        far = extents.amax(-1)[:, None, None].expand_as(anchors)
        return torch.where(used[..., None], anchors, far), used

    def decode(self, anchors: Tensor, deltas: Tensor, extents: Tensor) -> Tensor:
        """See `NormalizedBoxes.decode`; clipped to the map."""
        centers = anchors[..., :2] + anchors[..., 2:] * deltas[..., :2]
        ratios = deltas[..., 2:].clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()
        corners = bbox_cxcywh_to_xyxy(torch.cat([centers, anchors[..., 2:] * ratios], -1))
        limits = extents.repeat(1, 2)[:, None].expand_as(corners)
        return bbox_xyxy_to_cxcywh(corners.clamp(min=torch.zeros_like(limits), max=limits))

    def refine(self, boxes: Tensor, deltas: Tensor, extents: Tensor) -> Tensor:
        """See `NormalizedBoxes.refine`."""
        return self.decode(boxes, deltas, extents)

    def to_map(self, boxes: Tensor, extents: Tensor) -> Tensor:
        """See `NormalizedBoxes.to_map`."""
        return bbox_cxcywh_to_xyxy(boxes)

    def to_image(self, boxes: Tensor, img_shape: tuple[int, int]) -> Tensor:
        """See `NormalizedBoxes.to_image`."""
        return bbox_cxcywh_to_xyxy(boxes)

    def regression(
        self, boxes: Tensor, references: Tensor, deltas: Tensor, truth: Tensor, img_shape: tuple
    ) -> tuple[Tensor, Tensor]:
        """See `NormalizedBoxes.regression`: the deltas are compared, not the boxes."""
        return deltas, deltas_between(references, bbox_xyxy_to_cxcywh(truth))


def deltas_between(references: Tensor, boxes: Tensor) -> Tensor:
    """Deltas (..., 4) from references to boxes (cx, cy, w, h) in pixels, which broadcast.

    As in the released code, 0.1 pixel is added to the sides of the references: clipped ones may
    have none.
    """
    sides = references[..., 2:] + 0.1
    shift = (boxes[..., :2] - references[..., :2]) / sides
    return torch.cat([shift, (boxes[..., 2:] / sides).log()], -1)


def _factor(like: Tensor, img_shape: tuple[int, int]) -> Tensor:
    height, width = img_shape
    return like.new_tensor([width, height, width, height])
