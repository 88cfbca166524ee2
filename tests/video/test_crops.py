"""Evenly spaced spatial crops for multi-view tests."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('mmaction')
from mmaction.datasets.transforms import ThreeCrop  # noqa: E402

from swinv2_dense.video import UniformCrops  # noqa: E402


def test_three_uniform_crops_are_those_of_mmaction():
    """In another order: mmaction2's are left, right, middle."""
    for shape in ((16, 30), (28, 16)):
        frames = [np.random.default_rng(i).integers(0, 255, (*shape, 3)) for i in range(2)]
        theirs = ThreeCrop(16)(dict(imgs=list(frames)))
        ours = UniformCrops(16, 3)(dict(imgs=list(frames)))
        assert ours['img_shape'] == theirs['img_shape'] == (16, 16)
        for i, j in enumerate([0, 1, 4, 5, 2, 3]):
            np.testing.assert_array_equal(ours['imgs'][i], theirs['imgs'][j])
            np.testing.assert_array_equal(ours['crop_bbox'][i], theirs['crop_bbox'][j])


def test_five_crops_by_hand():
    frame = np.arange(48)[None, :, None].repeat(16, 0).repeat(3, 2)
    found = UniformCrops(16, 5)(dict(imgs=[frame]))
    assert [crop[0, 0, 0] for crop in found['imgs']] == [0, 8, 16, 24, 32]
    assert found['crop_bbox'].tolist()[1] == [8, 0, 24, 16]
    center = UniformCrops(16, 1)(dict(imgs=[frame]))
    assert center['crop_bbox'].tolist() == [[16, 0, 32, 16]]
    with pytest.raises(ValueError, match=r'crop_size=\(20, 20\) .* frames of 48 x 16'):
        UniformCrops(20, 3)(dict(imgs=[frame]))
