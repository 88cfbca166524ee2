"""Pictures of segmented images: the color of every pixel, and the legend."""

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

import swinv2_dense.seg  # noqa: F401  registers the visualizer
from swinv2_dense.drawing.regions import segmentation_sheet
from swinv2_dense.drawing.style import Style

SIZE = 600, 800
PALETTE = np.array([[250, 0, 0], [0, 240, 0], [0, 0, 230], [90, 80, 70]], np.uint8)
CLASSES = ('wall', 'floor', 'sky', 'never seen')
WHITE = np.array([255, 255, 255])


def drawn(**changes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A gray image, its truth (half wall, a quarter sky, the rest ignored), and its picture."""
    image = np.full((*SIZE, 3), 100, np.uint8)
    truth = np.zeros(SIZE, np.uint8)
    truth[:, 400:600], truth[:, 600:] = 2, 255
    maps = dict(truth=truth, prediction=np.full(SIZE, 1)) | changes
    return image, truth, segmentation_sheet(image, maps, Style(CLASSES, PALETTE), alpha=0.5)


def panels(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, prediction and legend; 8 pixels between them."""
    below = picture[-SIZE[0] :]
    return below[:, :800], below[:, 808:1608], below[:, 1616:]


def test_pixels_are_mixed_with_the_color_of_their_class():
    """Half of gray 100 and half of the color: (100 + 250) / 2 = 175 and so on."""
    _, _, picture = drawn()
    truth, prediction, _ = panels(picture)
    assert (truth[:, :400] == [175, 50, 50]).all()
    assert (truth[:, 400:600] == [50, 50, 165]).all()
    assert (prediction == [50, 170, 50]).all()
    ignored = truth[:, 600:]
    assert (ignored == ignored[..., :1]).all() and len(np.unique(ignored)) == 2  # gray stripes


def swatches(legend: np.ndarray) -> list[tuple[int, ...]]:
    """Colors of the legend's lines, from top to bottom: runs in the column of the swatches."""
    found = []
    for color in map(tuple, legend[:, 8].tolist()):
        if color not in ((255, 255, 255), (0, 0, 0)) and (not found or found[-1] != color):
            found.append(color)
    return found


def test_the_legend_lists_classes_by_their_share():
    """Floor 100 % of the prediction, wall 50 % and sky 25 % of the truth; ignored pixels last."""
    _, _, picture = drawn()
    found = swatches(panels(picture)[2])
    assert found[:3] == [tuple(PALETTE[i].tolist()) for i in (1, 0, 2)]
    assert all(len(set(color)) == 1 for color in found[3:]) and found[3:]


def test_the_legend_is_as_long_as_it_must_be():
    """A hundred classes beside 600 pixels: as many as fit, and the number of the others."""
    labels = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) % 100
    colors = np.stack([np.arange(100) * 2 + 2] * 3, axis=1)
    image = np.zeros((*SIZE, 3), np.uint8)
    names = [f'class number {i}' for i in range(100)]
    picture = segmentation_sheet(image, dict(truth=labels), Style(names, colors))
    legend = picture[-SIZE[0] :, 808:]
    assert 20 < len(swatches(legend)) < 40
    assert picture.shape[0] < SIZE[0] + 60


def test_labels_beyond_the_classes_have_a_number():
    """A model may predict more labels than there are names."""
    labels = np.zeros(SIZE, np.int64)
    labels[:300] = 1
    picture = segmentation_sheet(np.zeros((*SIZE, 3), np.uint8), {'truth': labels}, Style(['one']))
    assert (picture[-1, 0] != picture[-SIZE[0], 0]).any()


def test_samples_are_drawn_with_and_without_truth(tmp_path):
    with DefaultScope.overwrite_default_scope('mmseg'):
        register_all_modules(init_default_scope=False)
        visualizer = VISUALIZERS.build(
            dict(
                type='LegendSegVisualizer',
                name='legend',
                vis_backends=[dict(type='LocalVisBackend')],
                save_dir=str(tmp_path),
                alpha=0.5,
            )
        )
    visualizer.dataset_meta = dict(classes=CLASSES, palette=PALETTE.tolist())
    image, truth, expected = drawn()
    sample = SegDataSample(pred_sem_seg=PixelData(data=torch.ones(1, *SIZE, dtype=torch.long)))
    visualizer.add_datasample('one', image, sample, out_file=str(tmp_path / 'one.png'))
    one = np.asarray(Image.open(tmp_path / 'one.png'))
    assert one.shape[1] < expected.shape[1] - 800  # a panel less
    assert (one[-SIZE[0] :, :800] == [50, 170, 50]).all()
    sample.gt_sem_seg = PixelData(data=torch.from_numpy(truth)[None])
    visualizer.add_datasample('two', image, sample, with_labels=False)
    (stored,) = tmp_path.glob('**/two*.png')
    assert np.array_equal(np.asarray(Image.open(stored))[-SIZE[0] :], expected[-SIZE[0] :])
    small = np.zeros((300, 400, 3), np.uint8)  # truth loaded before the pipeline resized it
    visualizer.add_datasample('x', small, sample, out_file=str(tmp_path / 'small.png'))
    assert Image.open(tmp_path / 'small.png').height >= 300
