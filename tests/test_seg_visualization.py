"""Pictures of segmented images: every pixel's colour, and the legend's lines."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from PIL import Image

pytest.importorskip('mmseg')

from mmseg.registry import VISUALIZERS
from mmseg.structures import SegDataSample
from mmseg.utils import register_all_modules

from swinv2_dense.seg.visualization import draw

SIZE = 60, 80
PALETTE = np.array([[250, 0, 0], [0, 240, 0], [0, 0, 230], [90, 80, 70]], np.uint8)
CLASSES = ('wall', 'floor', 'sky', 'never seen')
LINE = 18  # of the font for small images, 12 pixels


def drawn(**changes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A grey image, its truth (half wall, a quarter sky, the rest ignored), and its picture."""
    image = np.full((*SIZE, 3), 100, np.uint8)
    truth = np.zeros(SIZE, int)
    truth[:, 40:60], truth[:, 60:] = 2, 255
    maps = dict(truth=truth, prediction=np.full(SIZE, 1)) | changes
    return image, truth, draw(image, maps, CLASSES, PALETTE, alpha=0.4)


def test_pixels_are_mixed_with_the_colour_of_their_class():
    image, truth, picture = drawn()
    panel = picture[LINE : LINE + SIZE[0], : SIZE[1]]
    assert np.array_equal(panel[:, :40], np.broadcast_to([160, 60, 60], (60, 40, 3)))
    assert np.array_equal(panel[:, 40:60], np.broadcast_to([60, 60, 152], (60, 20, 3)))
    assert np.array_equal(panel[:, 60:], image[:, 60:])
    second = picture[LINE : LINE + SIZE[0], SIZE[1] + LINE : 2 * SIZE[1] + LINE]
    assert np.array_equal(second, np.broadcast_to([60, 156, 60], (60, 80, 3)))


def swatches(picture: np.ndarray, panels: int) -> list[tuple[int, ...]]:
    """Colours of the legend's lines, from top to bottom."""
    column = picture[LINE + LINE // 2 :: LINE, panels * (SIZE[1] + LINE) + 7]
    return [tuple(map(int, colour)) for colour in column if tuple(colour) != (255, 255, 255)]


def test_the_legend_lists_classes_by_their_share():
    """Floor 100 % of the prediction, wall 50 % and sky 25 % of the truth."""
    _, _, picture = drawn()
    assert swatches(picture, 2) == [tuple(PALETTE[i].tolist()) for i in (1, 0, 2)]


def test_the_legend_is_as_long_as_it_must_be():
    """Thirty classes on a small image: nine, and the number of others."""
    labels = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) % 30
    colours = np.stack([np.arange(30)] * 3, axis=1).astype(np.uint8)
    image = np.zeros((*SIZE, 3), np.uint8)
    picture = draw(image, dict(truth=labels), [f'class {i}' for i in range(30)], colours, 0.5)
    assert swatches(picture, 1) == [(i, i, i) for i in range(9)]
    assert (picture[10 * LINE : 11 * LINE, SIZE[1] + LINE :] < 200).any()  # and 21 more


def test_samples_are_drawn_with_and_without_truth(tmp_path):
    with DefaultScope.overwrite_default_scope('mmseg'):
        register_all_modules(init_default_scope=False)
        visualizer = VISUALIZERS.build(
            dict(
                type='LegendSegVisualizer',
                name='legend',
                vis_backends=[dict(type='LocalVisBackend')],
                save_dir=str(tmp_path),
            )
        )
    visualizer.dataset_meta = dict(classes=CLASSES, palette=PALETTE.tolist())
    image, truth, _ = drawn()
    sample = SegDataSample(pred_sem_seg=PixelData(data=torch.ones(1, *SIZE, dtype=torch.long)))
    visualizer.add_datasample('one', image, sample, out_file=str(tmp_path / 'one.png'))
    sample.gt_sem_seg = PixelData(data=torch.from_numpy(truth)[None])
    visualizer.add_datasample('two', image, sample, with_labels=False)
    (stored,) = tmp_path.glob('**/two*.png')
    expected = draw(image, dict(truth=truth, prediction=np.ones(SIZE)), CLASSES, PALETTE, 0.6)
    assert np.array_equal(np.asarray(Image.open(stored)), expected)
    expected = draw(image, dict(prediction=np.ones(SIZE)), CLASSES, PALETTE, 0.6)
    assert np.array_equal(np.asarray(Image.open(tmp_path / 'one.png')), expected)
