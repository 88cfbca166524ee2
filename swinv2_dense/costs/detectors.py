"""Multiply-accumulates and training memory of a detector, per module, from shapes.

Nothing is computed: the modules run on tensors without storage, with as many proposals and boxes as
the config's train_cfg and test_cfg allow. Elementwise operations, RoIAlign and NMS are not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from . import counts

FAKE = FakeTensorMode(allow_non_fake_inputs=True)  # constants that the model creates are real
BYTES_PER_PARAMETER = 16  # fp32: weight, gradient and two moments of AdamW


@dataclass
class ModuleCosts:
    """Costs of a module of a model, such as its neck."""

    name: str
    params: int
    macs: int  # for a test image
    kept: int  # bytes that a training image keeps for the backward pass
    largest: int  # bytes of the largest tensor among them


def detector_parts(
    model: nn.Module, test_size: Sequence[int], train_size: Sequence[int]
) -> list[ModuleCosts]:
    """Costs of `model`, a detector on the meta device, at sizes (H, W) in pixels.

    It has an RPN and RoI heads, or a dense `bbox_head` that takes all maps of the neck.

    To count what is kept, its parameters become fake CPU tensors: on the meta device, attention
    runs in its plain form, which keeps more than the tiled one.
    """
    macs = _Measured(model, test_size, training=False)
    with FAKE:
        model._apply(lambda t: torch.empty(t.shape, dtype=t.dtype))
    kept = _Measured(model, train_size, training=True)
    return [
        ModuleCosts(name, params, macs.parts[name], kept.parts[name], kept.largest[name])
        for name, params in parameters_of(model).items()
    ]


def training_bytes(parts: Sequence[ModuleCosts], images: int, shards: int = 1) -> int:
    """Bytes per GPU: fp32 parameters, gradients and AdamW's moments, and what `images` keep.

    Activations are counted in fp32. Workspace of operators and memory that the allocator reserves
    are not counted.
    """
    states = BYTES_PER_PARAMETER * sum(part.params for part in parts) // shards
    return states + images * sum(part.kept for part in parts)


def parameters_of(model: nn.Module) -> dict[str, int]:
    return {
        name: sum(p.numel() for p in part.parameters())
        for name, part in model.named_children()
        if name != 'data_preprocessor'
    }


class _Measured:
    """MACs of the modules of a detector in a test, or the bytes that they keep in training."""

    def __init__(self, model: nn.Module, size: Sequence[int], training: bool) -> None:
        self.model, self.training = model.train(training), training
        self.parts = dict.fromkeys(parameters_of(model), 0)
        self.largest = dict(self.parts)
        image = self._empty(1, 3, *size)
        maps = self._run('backbone', model.backbone, image)
        maps = self._run('neck', model.neck, maps)
        if not hasattr(model, 'roi_head'):
            self._run('bbox_head', model.bbox_head, maps)
            return
        self._run('rpn_head', model.rpn_head, maps)
        roi_head = model.roi_head
        if getattr(roi_head, 'with_semantic', False):
            self._run('roi_head', roi_head.semantic_head, maps)
        boxes, masks = self._numbers()
        for head, extractor in _pairs(roi_head.bbox_head, roi_head.bbox_roi_extractor):
            self._run('roi_head', head, self._rois(boxes, extractor))
        if roi_head.with_mask:
            self._run_masks(roi_head, masks)

    def _numbers(self) -> tuple[int, int]:
        """Number of boxes for each box head, and for each mask head."""
        if not self.training:
            return self.model.test_cfg.rpn.max_per_img, self.model.test_cfg.rcnn.max_per_img
        rcnn = self.model.train_cfg.rcnn
        sampler = (rcnn[0] if isinstance(rcnn, (list, tuple)) else rcnn).sampler
        return sampler.num, int(sampler.num * sampler.pos_fraction)

    def _run_masks(self, roi_head: nn.Module, number: int) -> None:
        """A mask head of HTC uses the features of all previous ones; training recomputes them."""
        heads = list(_pairs(roi_head.mask_head, roi_head.mask_roi_extractor))
        flow = getattr(roi_head, 'mask_info_flow', False)
        for stage in range(len(heads)) if flow and self.training else [len(heads) - 1]:
            last = None
            for head, extractor in heads[: stage + 1]:
                rois = self._rois(number, extractor)
                if flow:
                    _, last = self._run('roi_head', head, rois, last)
                else:
                    self._run('roi_head', head, rois)

    def _rois(self, number: int, extractor: nn.Module) -> Tensor:
        size = extractor.roi_layers[0].output_size
        return self._empty(number, extractor.out_channels, *size).requires_grad_(self.training)

    def _empty(self, *shape: int) -> Tensor:
        with FAKE if self.training else torch.device('meta'):
            return torch.empty(shape)

    def _run(self, name: str, part: nn.Module, *inputs: Any) -> Any:
        if self.training:
            kept = counts.Kept(part)
            with torch.enable_grad(), kept.hooks:
                out = part(*inputs)
            self.parts[name] += kept.take()
            self.largest[name] = max(self.largest[name], kept.largest)
            return _map(lambda t: t.detach().requires_grad_(), out)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            out = part(*inputs)
        flops = counter.get_total_flops() // 2
        if name == 'backbone':  # its attention is a custom operator, which is not counted
            flops = sum(p.macs for p in counts.count(part, inputs[0].shape[2:]))
        self.parts[name] += flops
        return out


def _pairs(heads: Any, extractors: Any) -> Iterator[tuple[nn.Module, nn.Module]]:
    heads = heads if isinstance(heads, nn.ModuleList) else [heads]
    extractors = extractors if isinstance(extractors, nn.ModuleList) else [extractors] * len(heads)
    return zip(heads, extractors)


def _map(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_map(function, v) for v in value)
    return function(value) if isinstance(value, Tensor) else value
