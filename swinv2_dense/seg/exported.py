"""Segmentors as exported files."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmseg.models import EncoderDecoder
from mmseg.models.segmentors.base import BaseSegmentor
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..errors import ConfigError
from ..export.graph import Core
from ..export.model import ExportedRunner, plain_preprocessor


class SegmentorCore(Core):
    """Images -> `logits` (B, N, h, w) at the stride of the head and, unless `raw`, `label_map`.

    The label map (B, H, W) is that of resized logits, in uint8, or int32 for over 256 classes.

    Raises:
        ConfigError: The model is more than a backbone, a neck and one head.
    """

    def __init__(self, model: EncoderDecoder, raw: bool) -> None:
        super().__init__()
        head = getattr(model, 'decode_head', None)
        if not isinstance(model, EncoderDecoder) or isinstance(head, nn.ModuleList):
            raise ConfigError(
                f'{type(model).__name__} with {type(head).__name__} cannot be exported; segmentors '
                'of a backbone and one decode head can: use --part backbone'
            )
        self.backbone, self.head = model.backbone, head
        self.neck = model.neck if model.with_neck else None
        self.names = ('logits',) if raw else ('logits', 'label_map')

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        maps = self.backbone(x)
        if self.neck is not None:
            maps = self.neck(maps)
        logits = self.head(maps)
        if not isinstance(logits, Tensor):
            raise TypeError(f'{type(self.head).__name__} returns no map of logits')
        if len(self.names) == 1:
            return (logits,)
        full = F.interpolate(
            logits, x.shape[2:], mode='bilinear', align_corners=self.head.align_corners
        )
        if logits.shape[1] == 1:
            labels = full[:, 0].sigmoid() > self.head.threshold
        else:
            labels = full.argmax(dim=1)
        return logits, labels.to(torch.uint8 if logits.shape[1] <= 256 else torch.int32)


@MODELS.register_module()
class ExportedSegmentor(EncoderDecoder):
    """Predicts with an exported file, whole images or sliding windows as the model's `test_cfg`.

    Args:
        file: Path of the file.
        model: Config of the model that was exported.
    """

    def __init__(self, file: str, model: Mapping[str, Any]) -> None:
        BaseSegmentor.__init__(self, data_preprocessor=plain_preprocessor(model))
        self.runner = ExportedRunner(file)
        self.test_cfg = ConfigDict(model.get('test_cfg') or dict(mode='whole'))
        head = model['decode_head']
        self.num_classes = head['num_classes']
        self.out_channels = head.get('out_channels') or self.num_classes
        self.align_corners = head.get('align_corners', False)
        threshold = head.get('threshold')
        self.decode_head = SimpleNamespace(threshold=0.3 if threshold is None else threshold)

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Images (B, C, H, W) as decoded -> logits (B, N, H, W)."""
        found, size = self.runner(inputs)
        logits = F.interpolate(
            found['logits'], size, mode='bilinear', align_corners=self.align_corners
        )
        return logits[..., : inputs.shape[-2], : inputs.shape[-1]]


def segmentor_differences(expected: Any, found: Any) -> dict[str, float]:
    """Of logits, relative to the largest, and the fraction of pixels with another label."""
    given, other = (sample.pred_sem_seg.data for sample in (expected, found))
    differences = dict(labels=float((given != other).float().mean()))
    if 'seg_logits' in expected and 'seg_logits' in found:
        a, b = expected.seg_logits.data, found.seg_logits.data
        differences['logits'] = float((a - b).abs().max() / a.abs().max().clamp(min=1e-6))
    return differences
