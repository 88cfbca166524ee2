"""Detectors as exported files."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import torch
from mmdet.models.detectors.base import BaseDetector
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import scale_boxes
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor

from ..export.model import ExportedRunner, plain_preprocessor


@MODELS.register_module()
class ExportedDetector(BaseDetector):
    """Predicts with an exported file, one image after the other.

    Args:
        file: Path of the file.
        model: Config of the model that was exported.
    """

    def __init__(self, file: str, model: Mapping[str, Any]) -> None:
        super().__init__(data_preprocessor=plain_preprocessor(model))
        self.runner = ExportedRunner(file)
        test_cfg = model.get('test_cfg') or {}
        self.mask_cfg = ConfigDict(test_cfg.get('rcnn') or {})
        self.roi_head = SimpleNamespace(mask_head=mask_paster())

    def predict(
        self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample], rescale: bool = True
    ) -> list[DetDataSample]:
        """Images (B, C, H, W) as decoded -> samples with `pred_instances`."""
        metas = [sample.metainfo for sample in batch_data_samples]
        pairs = zip(batch_inputs, metas)
        found = [self._predict_one(image, meta, rescale) for image, meta in pairs]
        return self.add_pred_to_datasample(batch_data_samples, found)

    def _predict_one(self, image: Tensor, meta: dict, rescale: bool) -> InstanceData:
        height, width = meta['img_shape'][:2]
        outputs, _ = self.runner(image[None, :, :height, :width])
        return instances(outputs, meta, self.roi_head.mask_head, self.mask_cfg, rescale)

    def loss(self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample]) -> dict:
        """Not available: a file has no gradients."""
        raise NotImplementedError('an exported file cannot be trained')

    def _forward(self, batch_inputs: Tensor, batch_data_samples: Any = None) -> Any:
        raise NotImplementedError('an exported file has no mode=tensor')

    def extract_feat(self, batch_inputs: Tensor) -> Any:
        """Not available: see `--part neck` of the export command."""
        raise NotImplementedError('an exported detector returns no maps')


def mask_paster() -> FCNMaskHead:
    """A mask head that pastes masks into images; its own layers are not used."""
    return FCNMaskHead(
        num_convs=0, in_channels=1, conv_out_channels=1, num_classes=1, class_agnostic=True
    )


def instances(
    outputs: Mapping[str, Tensor],
    meta: dict,
    mask_head: FCNMaskHead,
    mask_cfg: ConfigDict,
    rescale: bool,
) -> InstanceData:
    """The objects in the outputs of a `DetectorCore`.

    Args:
        outputs: By name.
        meta: The metainfo of the image's data sample.
        mask_head: See `mask_paster`.
        mask_cfg: With `mask_thr_binary`.
        rescale: To the size of the original image.
    """
    present = outputs['scores'] > 0
    results = InstanceData(
        bboxes=outputs['boxes'][present],
        scores=outputs['scores'][present],
        labels=outputs['labels'][present],
    )
    if 'masks' in outputs:
        masks = outputs['masks'][present][:, None]
        return mask_head.predict_by_feat(
            [masks], [results], [meta], mask_cfg, rescale=rescale, activate_map=True
        )[0]
    if rescale:
        factors = [1 / factor for factor in meta['scale_factor']]
        results.bboxes = scale_boxes(results.bboxes, factors)
    return results


def detector_differences(expected: DetDataSample, found: DetDataSample) -> dict[str, float]:
    """Of matched objects, and the fraction of objects without a partner of their class.

    Boxes count relative to the image, scores as they are, masks by the fraction of pixels of the
    image that differ. Empty if neither found anything.
    """
    ours, theirs = found.pred_instances, expected.pred_instances
    count = max(len(ours), len(theirs))
    if not count:
        return {}
    size = float(max(expected.ori_shape))
    distances = torch.cdist(theirs.bboxes, ours.bboxes, p=float('inf')) / size
    distances += (theirs.scores[:, None] - ours.scores[None]).abs()
    distances[theirs.labels[:, None] != ours.labels[None]] = float('inf')
    pairs = []
    for index in theirs.scores.argsort(descending=True).tolist():
        best = int(distances[index].argmin()) if len(ours) else -1
        if best >= 0 and distances[index, best] < 0.5:
            pairs.append((index, best))
            distances[:, best] = float('inf')
    differences = dict(unmatched=1 - len(pairs) / count)
    if pairs:
        a, b = (torch.tensor(side) for side in zip(*pairs))
        differences['boxes'] = float((theirs.bboxes[a] - ours.bboxes[b]).abs().max()) / size
        differences['scores'] = float((theirs.scores[a] - ours.scores[b]).abs().max())
        if 'masks' in theirs:
            other = torch.as_tensor(theirs.masks)[a] != torch.as_tensor(ours.masks)[b]
            differences['masks'] = float(other.float().mean(dim=(1, 2)).max())
    return differences
