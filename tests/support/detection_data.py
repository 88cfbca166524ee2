"""Random data for detectors."""

from __future__ import annotations

import torch
from mmengine.structures import InstanceData

IMAGE = (96, 128)  # pixels


def detection_data() -> dict:
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks

    masks = torch.zeros(2, *IMAGE, dtype=torch.uint8)
    masks[0, 8:40, 16:64] = 1
    masks[1, 30:90, 70:120] = 1
    sample = DetDataSample(metainfo=dict(img_shape=IMAGE, ori_shape=IMAGE, batch_input_shape=IMAGE))
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor([[16.0, 8, 64, 40], [70, 30, 120, 90]]),
        labels=torch.tensor([0, 3]),
        masks=BitmapMasks(masks.numpy(), *IMAGE),
    )
    sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0).long())
    image = torch.randint(256, (3, *IMAGE), dtype=torch.uint8)
    return dict(inputs=[image], data_samples=[sample])
