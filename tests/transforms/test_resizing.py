"""Sizes after ResizeShorterSide as torchvision computes them, and the places of crops."""

from __future__ import annotations

import numpy as np
import pytest

from swinv2_dense.transforms import PlacedCrop, ResizeShorterSide


@pytest.mark.parametrize(
    ('size', 'given', 'expected'),
    [
        (292, (375, 500), (292, 389)),  # 389.33
        (256, (500, 333), (384, 256)),  # 384.38
        (219, (100, 151), (219, 330)),  # 330.69 is rounded down
        (32, (32, 40), (32, 40)),
    ],
)
def test_the_longer_side_is_rounded_down(size, given, expected):
    results = ResizeShorterSide(size)(dict(img=np.zeros((*given, 3), np.uint8)))
    assert results['img'].shape[:2] == results['img_shape'] == expected


def test_pillow_averages_where_the_image_shrinks():
    """A board of black and white pixels becomes gray; without smoothing it would stay a board."""
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255
    image = np.repeat(board[..., None], 3, axis=2).astype(np.uint8)
    found = ResizeShorterSide(16)(dict(img=image))['img']
    assert np.abs(found[2:-2, 2:-2].astype(int) - 127).max() < 12


def test_places_of_crops():
    image = np.arange(60, dtype=np.uint8).reshape(6, 10, 1)
    first = {
        place: int(PlacedCrop((4, 2), place)(dict(img=image))['img'][0, 0, 0])
        for place in ('center', 'top left', 'top right', 'bottom left', 'bottom right')
    }
    assert first == {
        'center': 23, 'top left': 0, 'top right': 6, 'bottom left': 40, 'bottom right': 46,
    }  # fmt: skip
    assert PlacedCrop((4, 2))(dict(img=image))['img'].shape == (2, 4, 1)


def test_what_does_not_fit_is_an_error():
    with pytest.raises(ValueError, match="place='middle' must be one of center, top left"):
        PlacedCrop(8, 'middle')
    with pytest.raises(ValueError, match=r'crop_size=\(8, 8\) .* does not fit an image of 10 x 6'):
        PlacedCrop(8)(dict(img=np.zeros((6, 10, 3), np.uint8)))
    with pytest.raises(ValueError, match='size=0 must be at least 1 pixel'):
        ResizeShorterSide(0)
