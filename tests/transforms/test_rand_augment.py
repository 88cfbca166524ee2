"""RandAugment of images: timm's strengths by hand, and the statistics of its draws."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from swinv2_dense.transforms import RandAugment
from swinv2_dense.transforms.operations import Border
from swinv2_dense.transforms.rand_augment import STRENGTHS, augment

BORDER = Border((124, 116, 104), Image.Resampling.BICUBIC)


def operated(name: str, strength: float, image: np.ndarray) -> np.ndarray:
    return augment(image, [(name, STRENGTHS[name](strength))], BORDER)


def noise(height: int = 20, width: int = 30) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_values_at_magnitude_9_are_timms():
    """rand-m9-inc1: level 9 of 10."""
    expected = dict(
        rotate=27.0, posterize=4 - 3, solarize=256 - 230, solarize_add=99, color=1.81,
        contrast=1.81, brightness=1.81, sharpness=1.81, shear_x=0.27, shear_y=0.27,
        translate_x=0.405, translate_y=0.405, autocontrast=0, equalize=0, invert=0,
    )  # fmt: skip
    assert {name: STRENGTHS[name](0.9) for name in STRENGTHS} == pytest.approx(expected)
    assert STRENGTHS['brightness'](-1.0) == pytest.approx(0.1)  # never black


def test_colors_by_hand():
    values = np.array([0, 100, 127, 128, 200, 255], np.uint8)
    image = np.repeat(values[None, :, None], 3, 2)

    def found(name: str, strength: float) -> list[int]:
        return operated(name, strength, image)[0, :, 0].tolist()

    assert found('solarize', 0.5) == [0, 100, 127, 127, 55, 0]  # inverted from 128 on
    assert found('solarize_add', 0.5) == [55, 155, 182, 128, 200, 255]
    assert found('posterize', 0.5) == [0, 64, 64, 128, 192, 192]  # 2 bits
    assert found('brightness', -0.5) == [0, 55, 69, 70, 110, 140]  # times 0.55
    assert found('invert', 0.3) == [255, 155, 128, 127, 55, 0]


def test_channels_are_bgr():
    """Without color, an image is gray by the weights of red, green and blue."""
    image = np.zeros((4, 4, 3), np.uint8)
    image[..., 2] = 200  # red
    gray = augment(image, [('color', 0.0)], BORDER)
    assert (gray == round(200 * 0.299)).all()
    moved = operated('translate_x', 1.0, np.zeros((20, 20, 3), np.uint8))
    assert moved[0, -1].tolist() == [104, 116, 124]  # ImageNet's mean, as BGR


def test_draws_follow_the_recipe():
    """Two operations, each with probability one half; magnitudes 9 with deviation 0.5."""
    np.random.seed(0)
    step = RandAugment()
    draws = [step.draw() for _ in range(6000)]
    counts = Counter(len(drawn) for drawn in draws)
    for length, share in ((0, 0.25), (1, 0.5), (2, 0.25)):
        assert counts[length] / 6000 == pytest.approx(share, abs=0.025)
    names = Counter(name for drawn in draws for name, _ in drawn)
    assert set(names) == set(STRENGTHS)
    assert max(names.values()) < 1.4 * min(names.values())
    twice = [drawn for drawn in draws if len(drawn) == 2 and drawn[0][0] == drawn[1][0]]
    assert twice  # with repetition
    degrees = np.array([value for drawn in draws for name, value in drawn if name == 'rotate'])
    assert np.abs(degrees).mean() == pytest.approx(27, abs=0.3)
    assert np.abs(degrees).std() == pytest.approx(1.4, abs=0.3)  # 1.5, and clipped at 30
    assert np.abs(degrees).max() <= 30 and abs((degrees > 0).mean() - 0.5) < 0.1


@pytest.mark.parametrize('name', STRENGTHS)
def test_the_largest_magnitude_is_accepted(name):
    """To which one draw in fifty is clipped."""
    for strength in (-1.0, 1.0):
        assert operated(name, strength, noise()).shape == noise().shape


def test_the_given_image_is_not_written_to():
    image = noise()
    image.flags.writeable = False
    for seed in range(20):
        np.random.seed(seed)
        found = RandAugment(prob=1.0)(dict(img=image))['img']
        assert found.shape == image.shape and found.dtype == np.uint8
    assert np.array_equal(image, noise())


@pytest.mark.parametrize(
    'change', [dict(magnitude=11), dict(magnitude=-1), dict(prob=1.5), dict(num_ops=-1)]
)
def test_arguments_out_of_range(change):
    with pytest.raises(ValueError, match=f'{next(iter(change))}={next(iter(change.values()))}'):
        RandAugment(**change)


def test_a_normalized_image_is_an_error():
    with pytest.raises(ValueError, match='uint8 images .* put it after loading and resizing'):
        RandAugment()(dict(img=noise().astype(np.float32)))
