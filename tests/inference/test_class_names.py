"""Class names and colors of predictions, for models with classes of their own; GIF as input."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from coco_tree import write_tree
from mmengine.config import Config
from narrow import narrow_model, shrink_images, use_data
from narrow_segmentor import narrow_segmentor, shrink, use_tree, write_segmentation_tree
from PIL import Image
from random_models import save_random

import swinv2_dense
from swinv2_dense.cli.infer import main as infer
from swinv2_dense.errors import ConfigError
from swinv2_dense.inference.base import describe_classes

DETECTOR = 'detection/mask-rcnn_swinv2-t-w16_1xb4-bf16-1x_coco.py'
SEGMENTOR = 'segmentation/upernet_swinv2-t-w16_8xb2-160k_ade20k-512x512.py'


def write_gif(path: Path, frames: int) -> None:
    pictures = [Image.new('RGB', (64, 48), (60 * i, 0, 0)) for i in range(frames)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40)


def test_a_detector_of_own_classes_draws_them(tmp_path):
    """The checkpoint has names and the palette of COCO; the inputs are animated and still GIFs."""
    cfg = Config.fromfile(swinv2_dense.config_path(DETECTOR))
    narrow_model(cfg.model)
    shrink_images(cfg, 8)
    for head in (cfg.model.roi_head.bbox_head, cfg.model.roi_head.mask_head):
        head.num_classes = 3
    names = ('a', 'b', 'c')
    use_data(cfg, write_tree(tmp_path / 'coco', names))
    cfg.test_dataloader.dataset.metainfo = dict(classes=names, palette=None)
    paths = map(str, save_random(cfg, tmp_path, CLASSES=names, PALETTE=[[1, 2, 3]] * 80))
    (tmp_path / 'in').mkdir()
    write_gif(tmp_path / 'in' / 'moving.gif', 3)
    write_gif(tmp_path / 'in' / 'still.gif', 1)
    (tmp_path / 'in' / 'photo.HEIC').touch()
    out = tmp_path / 'out'
    infer([*paths, str(tmp_path / 'in'), '--score-thr', '0', '--out-dir', str(out)])
    pictures = sorted(path.name for path in (out / 'pictures').iterdir())
    assert pictures == ['moving.mp4', 'still.jpg']
    still = json.loads((out / 'predictions/still.gif.json').read_text())
    moving = json.loads((out / 'predictions/moving.gif.json').read_text())
    assert set(still['names']) <= set(names) and len(still['names']) == 5
    assert len(moving['frames']) == 3
    panel = cv2.imread(str(out / 'pictures/still.jpg'))[-384:]
    assert (panel.max(axis=-1) > 100).any()  # colors on black


@pytest.mark.parametrize(
    'known, expected',
    [
        (['crack'], ['background', 'crack']),
        pytest.param(['sound', 'crack'], ['sound', 'crack'], marks=pytest.mark.slow),
        pytest.param(['x', 'y', 'z'], ['0', '1'], marks=pytest.mark.slow),  # of another model
    ],
)
def test_a_segmentor_with_one_output_has_two_labels(tmp_path, known, expected):
    """`num_classes=1, out_channels=1`: 1 above the threshold, 0 below."""
    cfg = Config.fromfile(swinv2_dense.config_path(SEGMENTOR))
    narrow_segmentor(cfg.model)
    shrink(cfg, 8)
    use_tree(cfg, write_segmentation_tree(tmp_path / 'ade', 'ADE20KDataset'))
    for head in (cfg.model.decode_head, cfg.model.auxiliary_head):
        head.update(num_classes=1, out_channels=1, threshold=0.5)
        head.loss_decode = dict(type='CrossEntropyLoss', use_sigmoid=True)
    cfg.test_dataloader.dataset.metainfo = dict(classes=tuple(known))
    paths = map(str, save_random(cfg, tmp_path))
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / '12.png'), noise)
    infer([*paths, str(tmp_path / '12.png'), '--out-dir', str(tmp_path / 'out')])
    record = json.loads((tmp_path / 'out/predictions/12.png.json').read_text())
    assert {area['label']: area['name'] for area in record['areas']} == dict(enumerate(expected))
    assert sum(area['pixels'] for area in record['areas']) == 48 * 64
    assert (tmp_path / 'out/pictures/12.png').exists()


@pytest.mark.parametrize('palette', [[[9, 8, 7], [6, 5, 255]], np.array([[9, 8, 7], [6, 5, 255]])])
def test_palettes_become_what_every_visualizer_takes(palette):
    found = describe_classes(2, [dict(classes=('a', 'b'), palette=palette)], None)
    assert found['palette'] == [(9, 8, 7), (6, 5, 255)]


def test_names_come_from_the_first_source_with_as_many_classes():
    checkpoint, config = (
        dict(classes=('a', 'b'), palette=[[1, 2, 3]]),
        dict(classes=('c', 'd', 'e')),
    )
    assert describe_classes(2, [checkpoint, config], None)['classes'] == ('a', 'b')
    assert describe_classes(3, [checkpoint, config], None)['classes'] == ('c', 'd', 'e')
    assert describe_classes(4, [checkpoint, config], None)['classes'] == ('0', '1', '2', '3')
    assert describe_classes(2, [checkpoint, config], ['x', 'y'])['classes'] == ('x', 'y')
    assert len(describe_classes(2, [checkpoint], None)['palette']) == 2  # one color is too few
    with pytest.raises(ConfigError, match='--classes has 1 names, but .* has 2'):
        describe_classes(2, [], ['x'])
