"""Random erasing: shares of area, and noise that is normal after normalization."""

from __future__ import annotations

import numpy as np
import pytest

from swinv2_dense.transforms import RandomErasing
from swinv2_dense.transforms.erasing import MEAN, STD

IMAGE = np.full((64, 80, 3), 7, np.uint8)


def test_a_quarter_of_the_images_is_erased():
    np.random.seed(0)
    step = RandomErasing()
    changed = [(step(dict(img=IMAGE))['img'] != 7).any() for _ in range(2000)]
    assert np.mean(changed) == pytest.approx(0.25, abs=0.03)
    assert (IMAGE == 7).all()


def test_rectangles_keep_to_the_bounds():
    np.random.seed(0)
    step = RandomErasing(prob=1.0)
    boxes = np.array([step.draw(64, 80) for _ in range(2000)])
    x, y, w, h = boxes.T
    assert (x >= 0).all() and (y >= 0).all() and (x + w <= 80).all() and (y + h <= 64).all()
    shares = w * h / (64 * 80)
    assert 0.015 < shares.min() < 0.03 and 0.3 < shares.max() < 0.345
    aspects = h / w
    assert 0.25 < aspects.min() < 0.35 and 2.8 < aspects.max() < 4


def test_the_noise_is_normal_after_normalization():
    """A standard normal, but for what 0..255 cuts off on both sides: 1.8 deviations and more."""
    np.random.seed(0)
    step = RandomErasing(prob=1.0, area=(0.3, 1 / 3))
    found = step(dict(img=np.full((400, 400, 3), 7, np.uint8)))['img']
    erased = found[(found != 7).any(axis=2)]
    normalized = (erased - np.array(MEAN)) / np.array(STD)
    assert np.abs(normalized.mean(axis=0)).max() < 0.03
    assert np.abs(normalized.std(axis=0) - 1).max() < 0.05
    assert np.abs(np.corrcoef(normalized.T) - np.eye(3)).max() < 0.03  # channels are independent


@pytest.mark.parametrize('change', [dict(prob=2), dict(area=(0.5, 0.2)), dict(min_aspect=0)])
def test_arguments_out_of_range(change):
    with pytest.raises(ValueError, match=f'{next(iter(change))}='):
        RandomErasing(**change)
