"""tools/infer.py draws and names the classes of models as users train them, and reads GIF."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from coco_tree import write_tree
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from narrow import narrow_model, shrink_images, use_data
from narrow_segmentor import narrow_segmentor, shrink, use_tree, write_segmentation_tree
from PIL import Image

import swinv2_dense
from swinv2_dense.cli.infer import main as infer
from swinv2_dense.cli.infer import other_files
from swinv2_dense.inference.base import describe_classes

DETECTOR = 'detection/mask-rcnn_swinv2-t-w16_1xb4-bf16-1x_coco.py'
SEGMENTOR = 'segmentation/upernet_swinv2-t-w16_8xb2-160k_ade20k-512x512.py'


def save(cfg: Config, folder: Path, **meta: object) -> list[str]:
    """Paths of a config, and of a checkpoint of its model with random weights."""
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    cfg.dump(folder / 'mine.py')
    torch.save(dict(state_dict=model.state_dict(), meta=dict(dataset_meta=meta)), folder / 'r.pth')
    return [str(folder / 'mine.py'), str(folder / 'r.pth')]


def write_gif(path: Path, frames: int) -> None:
    pictures = [Image.new('RGB', (64, 48), (60 * i, 0, 0)) for i in range(frames)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40)


def test_a_detector_of_own_classes_draws_them(tmp_path):
    """Its checkpoint has names, and no palette or COCO's; pictures, moving and still."""
    cfg = Config.fromfile(swinv2_dense.config_path(DETECTOR))
    narrow_model(cfg.model)
    shrink_images(cfg, 8)
    for head in (cfg.model.roi_head.bbox_head, cfg.model.roi_head.mask_head):
        head.num_classes = 3
    names = ('a', 'b', 'c')
    use_data(cfg, write_tree(tmp_path / 'coco', names))
    cfg.test_dataloader.dataset.metainfo = dict(classes=names, palette=None)
    paths = save(cfg, tmp_path, CLASSES=names, PALETTE=[[1, 2, 3]] * 80)
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
        pytest.param(['x', 'y', 'z'], ['0', '1'], marks=pytest.mark.slow),  # of something else
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
    paths = save(cfg, tmp_path)
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


def test_files_that_are_not_read_are_counted(tmp_path):
    for name in ('a.png', 'b.heic', 'c.HEIC', 'deep/d.txt', 'out/e.txt', 'none'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    given = [str(tmp_path), str(tmp_path / 'b.heic'), str(tmp_path / '*')]
    found = other_files(given, ('.png',), tmp_path / 'out')
    assert found == '2 .heic, 1 .txt, 1 without suffix'
    assert other_files([str(tmp_path / 'a.png')], ('.png',), tmp_path / 'out') == ''
