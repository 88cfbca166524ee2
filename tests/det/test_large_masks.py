"""Masks of large images in little memory: the same as mmdet's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

pytest.importorskip('mmdet')
from mmdet.models.roi_heads.mask_heads import FCNMaskHead, HTCMaskHead  # noqa: E402
from mmengine.config import ConfigDict  # noqa: E402
from torch import nn  # noqa: E402

from swinv2_dense.det import large_masks  # noqa: E402
from swinv2_dense.det.large_masks import CroppedMasks, crop_large_masks  # noqa: E402

META = dict(ori_shape=(50, 70), scale_factor=(2.0, 2.0))
BOXES = [[10.0, 8, 60, 70], [0, 0, 140, 100], [100, 60, 101, 61], [5, 5, 90, 90], [30, 2, 139, 9]]


def predicted(head: nn.Module, activate: bool) -> InstanceData:
    torch.manual_seed(0)
    results = InstanceData(
        bboxes=torch.tensor(BOXES), labels=torch.tensor([0, 2, 1, 0, 2]), scores=torch.rand(5)
    )
    masks = torch.randn(5, 3, 28, 28)
    masks[3] = -9  # nowhere an object
    given = masks.sigmoid().numpy() if activate else masks
    test_cfg = ConfigDict(mask_thr_binary=0.5)
    (found,) = head.predict_by_feat([given], [results], [META], test_cfg, True, activate)
    return found


@pytest.mark.parametrize('kind', [FCNMaskHead, HTCMaskHead])
@pytest.mark.parametrize('activate', [False, True])
def test_they_are_those_of_mmdet(monkeypatch, kind, activate):
    with DefaultScope.overwrite_default_scope('mmdet'):  # of its loss
        head = kind(num_convs=0, num_classes=3)
    expected = predicted(head, activate)
    model = nn.Module()
    model.roi_head = nn.Module()
    model.roi_head.mask_head = nn.ModuleList([nn.Identity(), head])
    crop_large_masks(model)
    assert torch.equal(predicted(head, activate).masks, expected.masks)  # small ones stay as such
    monkeypatch.setattr(large_masks, 'LARGEST', 5 * 50 * 70 - 1)
    found = predicted(head, activate)
    assert isinstance(found.masks, CroppedMasks)
    full = expected.masks.numpy()
    assert found.masks.shape == full.shape and full.any(axis=(1, 2)).tolist()[3] is False
    assert torch.equal(found.bboxes, expected.bboxes)
    np.testing.assert_array_equal(np.asarray(found.masks), full)
    np.testing.assert_array_equal(np.stack(list(found.masks)), full)
    chosen = found[found.scores >= 0.5]
    np.testing.assert_array_equal(chosen.masks.to_ndarray(), full[(found.scores >= 0.5).numpy()])
    np.testing.assert_array_equal(chosen.cpu().numpy().masks[0], chosen.masks.to_ndarray()[0])
    again = InstanceData.cat([found[:2], found[2:]])
    np.testing.assert_array_equal(again.masks.astype(np.uint8), full)
    held = sum(crop.pixels.nbytes for crop in found.masks.crops)
    assert held < 0.6 * full.nbytes
