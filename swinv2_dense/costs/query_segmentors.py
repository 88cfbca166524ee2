"""Costs of segmentors with mmseg's Mask2Former head, which takes samples next to feature maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from .detectors import ModuleCosts
from .query_detectors import whole_model_parts
from .segmentors import segmentor_parts


def parts_of_any_segmentor(
    model: nn.Module, test_size: Sequence[int], train_size: Sequence[int]
) -> list[ModuleCosts]:
    """`segmentor_parts`, also of Mask2Former, whose losses are not counted."""
    if not hasattr(model.decode_head, 'pixel_decoder'):
        return segmentor_parts(model, test_size, train_size)
    return whole_model_parts(model, test_size, train_size, _outputs)


def _outputs(model: nn.Module, image: Tensor, size: Sequence[int]) -> Any:
    from mmseg.structures import SegDataSample

    sample = SegDataSample(metainfo=dict(img_shape=tuple(size)))
    return model.decode_head(model.extract_feat(image), [sample])
