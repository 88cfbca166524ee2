"""Detectors with outputs of fixed shapes, as exporters need them.

mmdet's own prediction selects as many boxes as it finds, which cannot be traced. Here lists of
boxes have fixed lengths, and are filled with boxes that have no score. Heads, coders and RoI
extractors are those of the model. One image at a time. Legend: M objects, N proposals, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from mmdet.models.dense_heads import ATSSHead, RPNHead
from mmdet.models.detectors import SingleStageDetector, TwoStageDetector
from mmdet.models.roi_heads import CascadeRoIHead, HybridTaskCascadeRoIHead, StandardRoIHead
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from torch import Tensor, nn

from ..errors import ConfigError
from ..export.graph import Core
from .export_ops import METHODS, align_levels, nms, soft_nms
from .htc import MaskEnsembleHTCRoIHead

NO_SCORE = -1.0  # of boxes that fill a list
ROI_HEADS = (StandardRoIHead, CascadeRoIHead, HybridTaskCascadeRoIHead, MaskEnsembleHTCRoIHead)


def detector_core(model: nn.Module, raw: bool) -> Core:
    """The core of a detector.

    Raises:
        ConfigError: A part of the model is not supported; names it.
    """
    if raw:
        return RawHead(model)
    if isinstance(model, TwoStageDetector):
        return TwoStageCore(model)
    return DenseCore(model)


class RawHead(Core):
    """The maps of the first head, such as scores and deltas per anchor, for each level."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.backbone, self.neck = model.backbone, getattr(model, 'neck', None)
        self.head = getattr(model, 'rpn_head', None) or getattr(model, 'bbox_head', None)
        if not hasattr(self.head, 'prior_generator'):
            raise ConfigError(f'--raw: {type(model).__name__} has no dense head; use --part neck')
        levels = len(self.head.prior_generator.strides)
        kinds = ('cls_score', 'bbox_pred', 'centerness')[: 3 if _is(self.head, ATSSHead) else 2]
        self.names = tuple(f'{kind}_{level}' for kind in kinds for level in range(levels))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        outputs = self.head(_maps(self, x))
        return tuple(level for kind in outputs for level in kind)


class DetectorCore(Core):
    """Finds `boxes` (M, 4), `scores` (M,) and `labels` (M,); the score of missing ones is 0.

    Boxes are x1, y1, x2, y2 in pixels of the input.
    """

    dynamic_batch = False
    takes_image_size = True
    comparable = False
    names: tuple[str, ...] = ('boxes', 'scores', 'labels')

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.backbone, self.neck = model.backbone, getattr(model, 'neck', None)

    def priors(self, head: Any, maps: Sequence[Tensor]) -> list[Tensor]:
        """Anchors (n, 4) of each level: constants, computed by the first run, before tracing."""
        sizes = [tuple(x.shape[-2:]) for x in maps]
        name = 'priors_' + '_'.join(f'{h}x{w}' for h, w in sizes)
        if not hasattr(self, f'{name}_0'):
            for level, anchors in enumerate(head.prior_generator.grid_priors(sizes, device='cpu')):
                self.register_buffer(f'{name}_{level}', anchors)
        return [getattr(self, f'{name}_{level}') for level in range(len(sizes))]


class DenseCore(DetectorCore):
    """A detector with one dense head.

    Raises:
        ConfigError: The head, or its NMS, is not supported.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        head = getattr(model, 'bbox_head', None)
        if not isinstance(model, SingleStageDetector) or not _is(head, ATSSHead):
            raise _unsupported(model, head)
        self.head, self.cfg = head, model.test_cfg
        self.suppress = suppressor(self.cfg.nms, NO_SCORE / 2, self.cfg.max_per_img)

    def forward(self, x: Tensor, image_size: Tensor) -> tuple[Tensor, ...]:
        maps = _maps(self, x)
        levels = zip(*self.head(maps), self.priors(self.head, maps))
        found = [self._level(*level) for level in levels]
        boxes, scores, labels = (torch.cat(parts) for parts in zip(*found))
        boxes = clip(boxes, image_size)
        scores = without_small(boxes, scores, self.cfg.get('min_bbox_size', -1))
        # mmdet applies NMS to the candidates of each class; those of others have no score in it.
        classes = torch.arange(self.head.num_classes)[:, None]
        by_class = torch.where(labels[None] == classes, scores[None], NO_SCORE)
        expanded = boxes[None].expand(len(classes), -1, -1)
        return self.suppress(expanded, by_class)

    def _level(self, cls_score: Tensor, deltas: Tensor, factor: Tensor, priors: Tensor) -> tuple:
        """The best candidates of a level: boxes (n, 4), scores (n,) and labels (n,)."""
        scores = _rows(cls_score, self.head.cls_out_channels).sigmoid()
        count = scores.numel()
        limit = self.cfg.get('nms_pre', -1)
        candidates, order = scores.flatten().topk(min(limit, count) if limit > 0 else count)
        place, labels = order // scores.shape[1], order % scores.shape[1]
        final = candidates * _rows(factor, 1)[place, 0].sigmoid()
        final = torch.where(candidates > self.cfg.get('score_thr', 0), final, NO_SCORE)
        boxes = self.head.bbox_coder.decode(priors[place], _rows(deltas, 4)[place])
        return boxes, final, labels


class TwoStageCore(DetectorCore):
    """Faster, Mask and Cascade R-CNN, HTC and HTC++; with mask heads also `masks` (M, h, w).

    Masks are probabilities within the box.

    Raises:
        ConfigError: A head, an extractor or an NMS is not supported.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.rpn, self.head = model.rpn_head, model.roi_head
        if (
            not _is(self.rpn, RPNHead)
            or not _is(self.head, *ROI_HEADS)
            or self.head.with_shared_head
        ):
            raise _unsupported(model, self.rpn, self.head)
        rpn_cfg, self.cfg = self.rpn.test_cfg, self.head.test_cfg
        self.rpn_cfg = rpn_cfg
        self.is_cascade = isinstance(self.head, CascadeRoIHead)
        self.box_heads = list(self.head.bbox_head) if self.is_cascade else [self.head.bbox_head]
        for box_head in self.box_heads:
            if box_head.custom_activation or not box_head.with_reg:
                raise _unsupported(model, box_head)
        replace_extractors(self.head)
        self.propose = suppressor(rpn_cfg.nms, NO_SCORE / 2, rpn_cfg.max_per_img)
        self.suppress = suppressor(self.cfg.nms, self.cfg.score_thr, self.cfg.max_per_img)
        if self.head.with_mask:
            self.names = (*self.names, 'masks')

    def forward(self, x: Tensor, image_size: Tensor) -> tuple[Tensor, ...]:
        maps = _maps(self, x)
        proposals, present = self._proposals(maps, image_size)
        kwargs = {}
        if getattr(self.head, 'with_semantic', False):
            kwargs['semantic_feat'] = self.head.semantic_head(maps)[1]
        boxes, scores = self._boxes(maps, proposals, image_size, kwargs)
        scores = torch.where(present[:, None], scores, NO_SCORE).t()
        boxes, scores, labels = self.suppress(boxes, scores)
        if not self.head.with_mask:
            return boxes, scores, labels
        return boxes, scores, labels, self._masks(maps, boxes, labels, kwargs)

    def _proposals(self, maps: Sequence[Tensor], image_size: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes (N, 4), and which of them were found (N,)."""
        longest, found = 0, []
        for cls_score, deltas, priors in zip(*self.rpn(maps), self.priors(self.rpn, maps)):
            scores = _rows(cls_score, self.rpn.cls_out_channels)
            scores = scores.sigmoid() if self.rpn.use_sigmoid_cls else scores.softmax(-1)
            scores = scores[:, 0]
            limit = self.rpn_cfg.get('nms_pre', -1)
            count = min(limit, len(scores)) if limit > 0 else len(scores)
            scores, place = scores.topk(count)
            boxes = clip(
                self.rpn.bbox_coder.decode(priors[place], _rows(deltas, 4)[place]), image_size
            )
            scores = without_small(boxes, scores, self.rpn_cfg.get('min_bbox_size', -1))
            found.append((boxes, scores))
            longest = max(longest, count)
        boxes = torch.stack([_filled(b, longest, 0.0) for b, _ in found])
        scores = torch.stack([_filled(s, longest, NO_SCORE) for _, s in found])
        boxes, scores, _ = self.propose(boxes, scores)
        return boxes, scores > 0

    def _boxes(
        self, maps: Sequence[Tensor], proposals: Tensor, image_size: Tensor, kwargs: Mapping
    ) -> tuple[Tensor, Tensor]:
        """Refined boxes (K, N, 4) and scores (N, K)."""
        logits = []
        for stage, box_head in enumerate(self.box_heads):
            rois = _rois(proposals)
            if self.is_cascade:
                found = self.head._bbox_forward(stage, maps, rois, **kwargs)
            else:
                found = self.head._bbox_forward(maps, rois)
            cls_score, deltas = found['cls_score'], found['bbox_pred']
            logits.append(cls_score)
            if stage < len(self.box_heads) - 1:
                labels = cls_score[:, :-1].argmax(dim=1)
                meta = dict(img_shape=None)
                refined = box_head.regress_by_class(proposals, labels, deltas, meta)
                proposals = clip(refined, image_size)
        scores = (sum(logits) / len(logits)).softmax(-1)[:, :-1]
        deltas = deltas.reshape(len(proposals), -1, 4)
        owners = proposals[:, None].expand_as(deltas).flatten(0, 1)
        boxes = clip(box_head.bbox_coder.decode(owners, deltas.flatten(0, 1)), image_size)
        boxes = boxes.view(deltas.shape).transpose(0, 1)
        return boxes.expand(scores.shape[1], -1, -1), scores

    def _masks(
        self, maps: Sequence[Tensor], boxes: Tensor, labels: Tensor, kwargs: Mapping
    ) -> Tensor:
        rois = _rois(boxes)
        if isinstance(self.head, HybridTaskCascadeRoIHead):
            semantic = kwargs.get('semantic_feat')
            found = self.head._mask_forward(-1, maps, rois, semantic_feat=semantic, training=False)
            logits = found['mask_preds']
        elif self.is_cascade:
            stages = range(self.head.num_stages)
            logits = [self.head._mask_forward(s, maps, rois)['mask_preds'] for s in stages]
        else:
            logits = [self.head._mask_forward(maps, rois)['mask_preds']]
        masks = sum(stage.sigmoid() for stage in logits) / len(logits)
        if masks.shape[1] == 1:
            return masks[:, 0]
        return masks[torch.arange(len(masks)), labels]


class FixedExtractor(nn.Module):
    """mmdet's `SingleRoIExtractor` with an output of a fixed shape.

    Raises:
        ConfigError: Its pooling is not RoIAlign by average.
    """

    def __init__(self, extractor: SingleRoIExtractor) -> None:
        super().__init__()
        layers = extractor.roi_layers
        kind = type(layers[0]).__name__
        if (
            not _is(extractor, SingleRoIExtractor)
            or kind != 'RoIAlign'
            or layers[0].pool_mode != 'avg'
        ):
            raise ConfigError(
                f'{type(extractor).__name__} with {kind} cannot be exported; use --part neck'
            )
        self.num_inputs = extractor.num_inputs
        self.map_roi_levels = extractor.map_roi_levels
        self.scales = [float(layer.spatial_scale) for layer in layers]
        self.size = [int(side) for side in layers[0].output_size]
        self.sampling_ratio, self.aligned = int(layers[0].sampling_ratio), bool(layers[0].aligned)

    def forward(self, maps: Sequence[Tensor], rois: Tensor) -> Tensor:
        """Maps and regions (M, 5) -> (M, C, h, w)."""
        count = len(maps)
        levels = self.map_roi_levels(rois, count)
        scales = self.scales[:count]
        return align_levels(
            list(maps), rois, levels, scales, self.size, self.sampling_ratio, self.aligned
        )


def replace_extractors(head: nn.Module) -> None:
    """Replace all RoI extractors of a head by `FixedExtractor`; idempotent."""
    for module in list(head.modules()):
        for name, child in list(module.named_children()):
            if hasattr(child, 'roi_layers'):
                setattr(module, name, FixedExtractor(child))


def suppressor(settings: Mapping, score_threshold: float, num: int) -> Callable[..., tuple]:
    """NMS of boxes (G, N, 4) and scores (G, N) -> boxes (M, 4), scores (M,) and groups (M,).

    Raises:
        ConfigError: The type of NMS is not supported.
    """
    kind = settings.get('type', 'nms')
    iou = float(settings.get('iou_threshold', settings.get('iou_thr', 0.3)))
    if kind not in ('nms', 'soft_nms') or settings.get('class_agnostic'):
        raise ConfigError(f'nms={dict(settings)} cannot be exported; nms and soft_nms can')
    decay = (
        float(settings.get('sigma', 0.5)),
        float(settings.get('min_score', 1e-3)),
        METHODS[settings.get('method', 'linear')],
    )

    def suppress(boxes: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        boxes, scores = boxes.contiguous(), scores.contiguous()
        if kind == 'nms':
            places = nms(boxes, scores, iou, score_threshold, num)
            found = scores.flatten()[places.clamp(min=0)]
        else:
            places, found = soft_nms(boxes, scores, iou, *decay, score_threshold, num)
        present, places = places >= 0, places.clamp(min=0)
        kept = boxes.flatten(0, 1)[places] * present[:, None]
        return kept, torch.where(present, found, 0.0), places // scores.shape[1]

    return suppress


def clip(boxes: Tensor, image_size: Tensor) -> Tensor:
    """Boxes (..., 4) within the image of height and width (1, 2)."""
    limits = image_size.flip(1).repeat(1, 2).to(boxes.dtype)
    return torch.minimum(boxes.clamp(min=0), limits)


def without_small(boxes: Tensor, scores: Tensor, smallest: float) -> Tensor:
    """Scores without those of boxes whose width or height is at most `smallest`; < 0 keeps all."""
    if smallest < 0:
        return scores
    sides = boxes[..., 2:] - boxes[..., :2]
    return torch.where((sides > smallest).all(dim=-1), scores, NO_SCORE)


def _filled(x: Tensor, length: int, value: float) -> Tensor:
    if len(x) == length:
        return x
    return torch.cat([x, x.new_full((length - len(x), *x.shape[1:]), value)])


def _rois(boxes: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(boxes[:, :1]), boxes], dim=1)


def _rows(x: Tensor, channels: int) -> Tensor:
    """(1, A * channels, H, W) -> (H * W * A, channels)."""
    return x[0].permute(1, 2, 0).reshape(-1, channels)


def _maps(core: Any, x: Tensor) -> tuple[Tensor, ...]:
    maps = core.backbone(x)
    return maps if core.neck is None else core.neck(maps)


def _is(part: Any, *kinds: type) -> bool:
    """Whether a part is of one of the classes themselves: subclasses may predict otherwise."""
    return type(part) in kinds


def _unsupported(model: nn.Module, *parts: Any) -> ConfigError:
    names = ' and '.join(type(part).__name__ for part in parts if part is not None) or 'its head'
    dense = any(hasattr(part, 'prior_generator') for part in parts)
    return ConfigError(
        f'{type(model).__name__} with {names} cannot be exported as a whole: its selection of '
        f'boxes has no version with fixed shapes; use {"--raw, or " * dense}--part neck'
    )
