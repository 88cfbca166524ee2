"""Random crops: what torchvision's transform of the same name promises."""

from __future__ import annotations

import mmcv
import numpy as np
import pytest

from swinv2_dense.transforms import RandomResizedCrop


def test_areas_and_ratios_cover_their_bounds():
    np.random.seed(0)
    step = RandomResizedCrop(64, scale=(0.3, 0.6), ratio=(0.5, 2.0))
    boxes = np.array([step.draw(400, 400) for _ in range(2000)])
    x, y, w, h = boxes.T
    assert (x >= 0).all() and (y >= 0).all() and (x + w <= 400).all() and (y + h <= 400).all()
    areas, logs = w * h / 160_000, np.log(w / h)
    assert areas.min() > 0.295 and areas.max() < 0.605
    assert abs(areas.mean() - 0.45) < 0.02  # uniform, but the widest large ones do not fit
    assert logs.min() < -0.65 and logs.max() > 0.65 and abs(logs.mean()) < 0.05
    assert len(np.unique(x)) > 100 and len(np.unique(y)) > 100


def test_where_no_draw_fits_the_center_is_taken():
    step = RandomResizedCrop(64, scale=(1.0, 1.0), ratio=(1.0, 1.0))
    assert step.draw(100, 300) == (100, 0, 100, 100)
    assert step.draw(300, 100) == (0, 100, 100, 100)


def test_the_crop_is_resized_with_smoothing():
    np.random.seed(1)
    image = np.random.randint(0, 256, (120, 160, 3), np.uint8)
    results = RandomResizedCrop((32, 48), scale=(0.67, 1.0))(dict(img=image))
    x, y, w, h = results['crop_box']
    part = image[y : y + h, x : x + w]
    expected = mmcv.imresize(part, (48, 32), interpolation='bicubic', backend='pillow')
    assert (results['img'] == expected).all() and results['img_shape'] == (32, 48)
    # Noise is averaged where the image shrinks: without smoothing its deviation would stay.
    assert results['img'].std() < 0.6 * image.std()


@pytest.mark.parametrize('change', [dict(size=0), dict(scale=(0.5, 0.2)), dict(ratio=(0.0, 1.0))])
def test_arguments_out_of_range(change):
    with pytest.raises(ValueError, match=rf'RandomResizedCrop: {next(iter(change))}='):
        RandomResizedCrop(**{'size': 8, **change})
