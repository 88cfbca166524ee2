"""The head of Plain-DETR: predictions, matching and losses of both groups of queries."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from mmdet.models.dense_heads import DeformableDETRHead
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.structures import SampleList
from mmdet.utils import InstanceList, reduce_mean
from mmengine.structures import InstanceData
from torch import Tensor


class Predictions(NamedTuple):
    """Of a decoder layer or of the proposals, for B images and Q queries."""

    scores: Tensor  # logits (B, Q, classes)
    boxes: Tensor  # (B, Q, 4), in the units of the coordinates
    references: Tensor  # (B, Q, 4), what the deltas refine
    deltas: Tensor  # (B, Q, 4)
    inside: Tensor | None = None  # (B, Q), False where a proposal is padding

    def of_queries(self, queries: slice) -> Predictions:
        """Those of a group of queries."""
        return Predictions(*(field[:, queries] for field in self[:4]))

    def of_image(self, index: int) -> InstanceData:
        """Those of an image, without padding."""
        rows = slice(None) if self.inside is None else self.inside[index]
        fields = {name: getattr(self, name)[index][rows] for name in self._fields[:4]}
        return InstanceData(**fields)


@MODELS.register_module()
class PlainDETRHead(DeformableDETRHead):
    """mmdet's head of Deformable DETR with a one-to-many branch and a choice of coordinates.

    In training the last queries are matched to every object `one_to_many` times (hybrid matching,
    arXiv 2207.13080). Losses of an image do not depend on the images beside it, except for their
    common divisor, the number of objects.

    Args:
        num_queries: One-to-one queries, which come first.
        one_to_many: How often an object is repeated for the others.
        one_to_many_weight: Weight of their losses.
        coordinates: Config or object, `NormalizedBoxes` or `PixelBoxes`.
        kwargs: See `DeformableDETRHead`.
    """

    def __init__(
        self,
        *args: Any,
        num_queries: int = 300,
        one_to_many: int = 6,
        one_to_many_weight: float = 1.0,
        coordinates: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.num_queries = num_queries
        self.one_to_many, self.one_to_many_weight = one_to_many, one_to_many_weight
        coordinates = coordinates or dict(type='NormalizedBoxes')
        self.coordinates = (
            TASK_UTILS.build(coordinates) if isinstance(coordinates, dict) else coordinates
        )

    def forward(
        self, hidden_states: Tensor, references: list[Tensor], extents: Tensor
    ) -> list[Predictions]:
        """Predictions of each layer, see `PlainDETRDecoder.forward`."""
        outs = []
        for layer, (states, reference) in enumerate(zip(hidden_states, references)):
            scores = self.cls_branches[layer](states)
            deltas = self.reg_branches[layer](states)
            boxes = self.coordinates.refine(reference, deltas, extents)
            outs.append(Predictions(scores, boxes, reference, deltas))
        return outs

    def loss(
        self,
        hidden_states: Tensor,
        references: list[Tensor],
        extents: Tensor,
        proposals: Predictions,
        batch_data_samples: SampleList,
    ) -> dict[str, Tensor]:
        """Losses of all layers for both groups of queries, and of the proposals."""
        layers = self(hidden_states, references, extents)
        truth = [_boxes_and_labels(sample) for sample in batch_data_samples]
        metas = [sample.metainfo for sample in batch_data_samples]
        one_to_one, others = slice(self.num_queries), slice(self.num_queries, None)
        losses = self._layer_losses([p.of_queries(one_to_one) for p in layers], truth, metas)
        if hidden_states.shape[2] > self.num_queries:
            repeated = [InstanceData.cat([objects] * self.one_to_many) for objects in truth]
            many = self._layer_losses([p.of_queries(others) for p in layers], repeated, metas)
            losses.update({f'one2many.{k}': v * self.one_to_many_weight for k, v in many.items()})
        binary = [InstanceData(bboxes=t.bboxes, labels=torch.zeros_like(t.labels)) for t in truth]
        losses.update({f'enc_{k}': v for k, v in self._losses(proposals, binary, metas).items()})
        return losses

    def _layer_losses(
        self, layers: list[Predictions], truth: InstanceList, metas: list[dict]
    ) -> dict[str, Tensor]:
        losses = self._losses(layers[-1], truth, metas)
        for i, layer in enumerate(layers[:-1]):
            losses |= {f'd{i}.{k}': v for k, v in self._losses(layer, truth, metas).items()}
        return losses

    def _losses(
        self, predictions: Predictions, truth: InstanceList, metas: list[dict]
    ) -> dict[str, Tensor]:
        """Focal, L1 and GIoU loss, divided by the mean number of objects per process."""
        scores, labels, pairs = [], [], []
        for i, (objects, meta) in enumerate(zip(truth, metas)):
            found = predictions.of_image(i)
            shape = meta['img_shape']
            corners = self.coordinates.to_image(found.boxes, shape)
            rows, columns = self._match(found, corners, objects, meta)
            label = rows.new_full((len(found),), self.num_classes)
            label[rows] = objects.labels[columns]
            scores.append(found.scores)
            labels.append(label)
            boxes, target = objects.bboxes[columns], found[rows]
            regression = self.coordinates.regression(
                target.boxes, target.references, target.deltas, boxes, shape
            )
            pairs.append((*regression, corners[rows], boxes))
        count = scores[0].new_tensor([float(sum(len(pair[0]) for pair in pairs))])
        count = reduce_mean(count).clamp(min=1).item()
        predicted, targets, corners, boxes = map(torch.cat, zip(*pairs))
        return dict(
            loss_cls=self.loss_cls(torch.cat(scores), torch.cat(labels), avg_factor=count),
            loss_bbox=self.loss_bbox(predicted, targets, avg_factor=count),
            loss_iou=self.loss_iou(corners, boxes, avg_factor=count),
        )

    def _match(
        self, found: InstanceData, corners: Tensor, objects: InstanceData, meta: dict
    ) -> tuple[Tensor, Tensor]:
        """Queries and their objects, in the order of the queries."""
        with torch.no_grad():
            candidates = InstanceData(
                scores=found.scores,
                bboxes=corners,
                references=found.references,
                deltas=found.deltas,
            )
            assigned = self.assigner.assign(candidates, objects, meta).gt_inds
        rows = assigned.gt(0).nonzero().squeeze(1)
        return rows, assigned[rows] - 1

    def predict(
        self,
        hidden_states: Tensor,
        references: list[Tensor],
        extents: Tensor,
        batch_data_samples: SampleList,
        rescale: bool = True,
    ) -> InstanceList:
        """The best `test_cfg.max_per_img` pairs of a one-to-one query and a class."""
        last = self(hidden_states, references, extents)[-1].of_queries(slice(self.num_queries))
        return [
            self._best(last.scores[i], last.boxes[i], sample.metainfo, rescale)
            for i, sample in enumerate(batch_data_samples)
        ]

    def _best(self, logits: Tensor, boxes: Tensor, meta: dict, rescale: bool) -> InstanceData:
        number = (self.test_cfg or {}).get('max_per_img', 100)
        scores, index = logits.sigmoid().flatten().topk(min(number, logits.numel()))
        height, width = meta['img_shape']
        found = self.coordinates.to_image(boxes, (height, width))[index // self.num_classes]
        limits = found.new_tensor([width, height, width, height])
        found = found.clamp(min=torch.zeros_like(limits), max=limits)
        if rescale:
            found = found / found.new_tensor(meta['scale_factor']).repeat(2)
        return InstanceData(scores=scores, labels=index % self.num_classes, bboxes=found)


def _boxes_and_labels(sample: Any) -> InstanceData:
    objects = sample.gt_instances
    boxes = getattr(objects.bboxes, 'tensor', objects.bboxes)
    return InstanceData(bboxes=boxes, labels=objects.labels)
