"""RandAugment and erasing: the same parameters for all frames; strengths computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

import swinv2_dense  # noqa: F401  patches mmaction2's import

pytest.importorskip('mmaction')

from mmaction.registry import TRANSFORMS
from mmaction.utils import register_all_modules

from swinv2_dense.video import VideoRandAugment, VideoRandomErasing
from swinv2_dense.video.augment import OPERATIONS, augment

WITHOUT_STRENGTH = {'identity', 'autocontrast', 'equalize', 'invert'}
WITH_STRENGTH = sorted(set(OPERATIONS) - WITHOUT_STRENGTH)


def noise(height: int = 20, width: int = 30) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


def operated(name: str, strength: float, frame: np.ndarray) -> np.ndarray:
    return augment(frame, [(name, strength)])


@pytest.mark.parametrize('seed', range(30))
def test_equal_frames_stay_equal(seed):
    np.random.seed(seed)
    frames = VideoRandAugment(n=4, m=20)(dict(imgs=[noise() for _ in range(5)]))['imgs']
    assert len(frames) == 5
    for frame in frames:
        assert frame.dtype == np.uint8 and np.array_equal(frame, frames[0])


def test_frames_are_transformed_independently():
    """Of another frame, the same draw makes what it makes of that frame alone."""
    dark, bright = noise() // 2, 255 - noise() // 2
    np.random.seed(1)
    both = VideoRandAugment(n=4, m=20)(dict(imgs=[dark, bright]))['imgs']
    for index, frame in enumerate((dark, bright)):
        np.random.seed(1)
        alone = VideoRandAugment(n=4, m=20)(dict(imgs=[frame]))['imgs'][0]
        assert np.array_equal(both[index], alone)
    assert not np.array_equal(both[0], dark)


@pytest.mark.parametrize('cls', [VideoRandAugment, VideoRandomErasing])
def test_the_decoders_frames_are_not_written_to(cls):
    transform = cls(n=4, m=30) if cls is VideoRandAugment else cls(erase_prob=1.0, mode='rand')
    given = [noise(), noise()]
    for frame in given:
        frame.flags.writeable = False
    results = transform(dict(imgs=given))
    assert np.array_equal(given[0], noise())
    assert not np.array_equal(results['imgs'][0], given[0])
    results['imgs'][0][:] = 0  # writeable, and no view of the second
    assert results['imgs'][1].any()


@pytest.mark.parametrize('name', WITH_STRENGTH)
def test_at_magnitude_0_an_operation_with_a_strength_changes_nothing(name):
    assert np.abs(operated(name, 0.0, noise()).astype(int) - noise()).max() <= 1


@pytest.mark.parametrize('name', WITH_STRENGTH)
def test_larger_magnitudes_change_the_image_more(name):
    """Seen on a ramp with an edge, as noise is as far from noise at any distance."""
    ramp = np.tile(np.linspace(20, 230, 60), (60, 1))
    frame = np.stack([ramp, ramp.T, np.where(ramp > 125, 200, 30)], -1).astype(np.uint8)
    for sign in (-1, 1):
        far = [
            np.abs(operated(name, sign * s, frame).astype(int) - frame).mean()
            for s in (0.0, 0.4, 1.0)
        ]
        assert far[0] < far[1] < far[2]


def test_translate_by_hand():
    """0.33 of 100 pixels at magnitude 30; gray comes in where the picture leaves."""
    frame = noise(100, 100)
    moved = operated('translate_x', 1.0, frame)
    assert np.array_equal(moved[:, :67], frame[:, 33:])
    assert (moved[:, 67:] == 128).all()
    moved = operated('translate_y', -1.0, frame)
    assert np.array_equal(moved[33:], frame[:67])
    assert (moved[:33] == 128).all()


def test_colors_by_hand():
    values = np.array([0, 100, 127, 128, 200, 255], np.uint8)
    frame = np.repeat(values[None, :, None], 3, 2)

    def found(name: str, strength: float) -> list[int]:
        return operated(name, strength, frame)[0, :, 0].tolist()

    assert found('solarize', 0.5) == [0, 100, 127, 127, 55, 0]  # inverted from 128 on
    assert found('posterize', 1.0) == [0, 64, 64, 128, 192, 192]  # 2 bits
    assert found('posterize', -0.5) == [0, 96, 120, 128, 200, 248]  # 5 bits
    assert found('invert', 0.3) == [255, 155, 128, 127, 55, 0]
    assert found('brightness', 0.5) == [0, 145, 184, 185, 255, 255]  # times 1.45
    assert found('brightness', -1.0) == [0, 10, 12, 12, 20, 25]  # times 0.1
    assert found('color', -1.0) == values.tolist()  # gray has no color to lose
    assert found('identity', 1.0) == values.tolist()


def test_rotate_and_shear_by_hand():
    """A point right of the center goes up with positive degrees; a shear shifts rows by 0.3 y."""
    point = np.zeros((41, 41, 3), np.uint8)
    point[20, 35] = 255  # 15 pixels right of the center, at 30 degrees 13.0 right and 7.5 up
    corners = operated('rotate', 1.0, np.zeros_like(point))  # gray, as they come in
    rotated = operated('rotate', 1.0, point).astype(int) - corners
    y, x = np.unravel_index(rotated[..., 0].argmax(), (41, 41))
    assert abs(y - 12.5) <= 1 and abs(x - 33) <= 1
    line = np.zeros((40, 40, 3), np.uint8)
    line[:, 20:] = 255
    sheared = operated('shear_x', 1.0, line)[..., 0]
    assert (sheared[0] > 127).argmax() == 20
    assert (sheared[30] > 127).argmax() == 20 - 9


def test_draws_are_different_operations_with_either_sign():
    np.random.seed(0)
    draws = [VideoRandAugment(n=4, m=15).draw() for _ in range(3000)]
    names = [name for draw in draws for name, _ in draw]
    assert all(len({name for name, _ in draw}) == 4 for draw in draws)
    assert {abs(strength) for draw in draws for _, strength in draw} == {0.5}
    expected = 3000 * 4 / len(OPERATIONS)  # 800 each; five standard deviations are 120
    assert all(abs(names.count(name) - expected) < 130 for name in OPERATIONS)
    assert abs(sum(np.sign(s) for draw in draws for _, s in draw)) < 5 * 12000**0.5
    assert len({tuple(name for name, _ in draw) for draw in draws}) > 2000  # in any order


def test_a_seed_repeats_a_draw():
    draws = []
    for seed in (3, 3, 4):
        np.random.seed(seed)
        draws.append(VideoRandAugment(n=4, m=7).draw())
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize(
    'args', [dict(n=16, m=7), dict(n=-1, m=7), dict(n=2, m=31), dict(n=2, m=-1)]
)
def test_arguments_out_of_range(args):
    with pytest.raises(ValueError, match='VideoRandAugment: [nm]=-?[0-9]+ must be from 0 to'):
        VideoRandAugment(**args)


@pytest.mark.parametrize('frame', [noise().astype(np.float32), noise()[..., :1], noise()[..., 0]])
def test_other_frames_are_errors(frame):
    with pytest.raises(ValueError, match='put it after decoding'):
        VideoRandAugment(n=1, m=7)(dict(imgs=[frame]))


def erased(frames: list[np.ndarray]) -> np.ndarray:
    """(H, W): where a black clip is no longer black, the same in all frames."""
    where = np.stack([(frame != 0).any(-1) for frame in frames])
    assert (where == where[0]).all()
    return where[0]


def test_erasing_is_the_same_rectangle_and_noise_in_all_frames():
    np.random.seed(0)
    black = [np.zeros((60, 80, 3), np.uint8) for _ in range(4)]
    frames = VideoRandomErasing(erase_prob=1.0, mode='rand')(dict(imgs=black))['imgs']
    rows, columns = np.nonzero(erased(frames))
    box = frames[0][rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert (box != 0).any(-1).all()  # a rectangle without holes
    assert len(np.unique(box)) > 100
    assert all(np.array_equal(frame, frames[0]) for frame in frames)


def test_erased_area_and_probability():
    """Areas are uniform from 0.02 to 1/3 of the frame, mean 0.177; one clip in four is erased."""
    np.random.seed(0)
    transform = VideoRandomErasing(erase_prob=0.25)
    black = [np.zeros((50, 50, 3), np.uint8)]
    areas = np.array([erased(transform(dict(imgs=black))['imgs']).mean() for _ in range(4000)])
    hits = areas[areas > 0]
    assert abs(len(hits) / 4000 - 0.25) < 5 * (0.25 * 0.75 / 4000) ** 0.5
    assert hits.min() > 0.015 and hits.max() < 0.35
    assert abs(hits.mean() - 0.177) < 0.02
    spread = [(hits < limit).mean() for limit in (0.1, 0.2)]
    assert spread == pytest.approx([0.255, 0.574], abs=0.07)


def test_a_constant_fill():
    np.random.seed(0)
    transform = VideoRandomErasing(erase_prob=1.0, fill_color=(123.675, 116.28, 103.53))
    frames = transform(dict(imgs=[np.zeros((30, 30, 3), np.uint8)] * 2))['imgs']
    assert (frames[1][erased(frames)] == (123, 116, 103)).all()


def test_registered_by_name_within_a_pipeline():
    register_all_modules()
    for cfg in (dict(type='VideoRandAugment', n=4, m=7), dict(type='VideoRandomErasing')):
        assert cfg['type'] in repr(TRANSFORMS.build(cfg))
