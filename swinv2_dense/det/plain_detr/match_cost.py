"""Matching cost of boxes that are refined in pixels."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.models.task_modules.assigners.match_cost import BaseMatchCost
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import bbox_xyxy_to_cxcywh
from mmengine.structures import InstanceData
from torch import Tensor

from .coordinates import deltas_between


@TASK_UTILS.register_module()
class BoxDeltaL1Cost(BaseMatchCost):
    """L1 distance between predicted deltas and those that would give the box of an object."""

    def __call__(
        self,
        pred_instances: InstanceData,
        gt_instances: InstanceData,
        img_meta: dict | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """(Q, n), from `references` (cx, cy, w, h) and `deltas`, (Q, 4) each."""
        truth = bbox_xyxy_to_cxcywh(gt_instances.bboxes)
        targets = deltas_between(pred_instances.references[:, None], truth[None])
        return torch.cdist(pred_instances.deltas[:, None], targets, p=1).squeeze(1) * self.weight
