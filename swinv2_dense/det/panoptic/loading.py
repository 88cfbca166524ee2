"""Load panoptic maps."""

from __future__ import annotations

from typing import Any

from mmdet.datasets.transforms import LoadAnnotations, LoadPanopticAnnotations
from mmdet.registry import TRANSFORMS

from ...preparation.panoptic_ids import segment_ids


@TRANSFORMS.register_module()
class LoadPanopticMaps(LoadPanopticAnnotations):
    """mmdet's `LoadPanopticAnnotations` without panopticapi; takes its arguments.

    Adds boxes, labels and masks of things, and the semantic map with 255 where there is no segment.
    """

    def __init__(self, with_seg: bool = True, **kwargs: Any) -> None:
        # The class between looks for panopticapi, of which it needs one function.
        LoadAnnotations.__init__(self, with_mask=True, with_seg=with_seg, **kwargs)
        self.rgb2id = segment_ids
