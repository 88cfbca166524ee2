"""From an unknown folder to a trained model and its metric in three commands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from clips import write_clip
from commands import ROOT, run_here
from format_writers import OBJECT_WRITERS, Scene, Thing, classes_of, coco_dict, write_image
from mmengine.config import Config
from own_commands import ONE_EPOCH, QUICK_MAPS, three_commands
from PIL import Image
from pycocotools.coco import COCO

from swinv2_dense.preparation.own.found import TARGETS
from swinv2_dense.preparation.own.own_config import FRAGMENTS, ROOT_LINE

HALF = (0.0, 0.0, 24.0, 0.0, 24.0, 20.0, 0.0, 20.0)


def scenes(count: int = 10, polygons: bool = False) -> list[Scene]:
    """One or two bright rectangles per image."""
    rng = np.random.default_rng(0)
    found = []
    for number in range(count):
        things = []
        for label in ('cat', 'dog')[: 1 + number % 2]:
            x, y = (float(start) for start in rng.integers(0, (40, 30)))
            shape = tuple(c + (y if i % 2 else x) for i, c in enumerate(HALF))
            things.append(Thing(label, (x, y, 24.0, 20.0), (shape,) if polygons else ()))
        found.append(Scene(f'picture{"abcdefghijklmnop"[number]}.jpg', 72, 56, tuple(things)))
    return found


def check_tree(out: Path, wanted: list[Scene]) -> None:
    """Files against the scenes, read by pycocotools."""
    truth = coco_dict(wanted, classes_of(wanted))
    names = {image['id']: image['file_name'] for image in truth['images']}
    expected = {(names[a['image_id']], a['category_id'], *a['bbox']) for a in truth['annotations']}
    found = set()
    for split in ('train', 'val'):
        coco = COCO(out / 'annotations' / f'{split}.json')
        for entry in coco.anns.values():
            name = coco.imgs[entry['image_id']]['file_name']
            assert (out / split / name).is_file()
            found.add((name, entry['category_id'], *entry['bbox']))
            if 'segmentation' in entry:
                assert coco.annToMask(entry).sum() == pytest.approx(entry['area'], rel=0.1)
    assert found == expected


def run_detector(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, polygons: bool = False
) -> None:
    pytest.importorskip('mmdet')
    made = scenes(polygons=polygons)
    OBJECT_WRITERS[name](folder / 'src', made)
    metrics = three_commands(folder / 'src', folder, monkeypatch, ONE_EPOCH)
    assert 0 <= metrics['coco/bbox_mAP'] <= 1
    assert ('coco/segm_mAP' in metrics) == polygons
    check_tree(folder / 'data' / 'mine', made)


@pytest.mark.parametrize('name', ['coco', 'yolo'])
def test_boxes(name, tmp_path, monkeypatch):
    run_detector(name, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize('name', [name for name in OBJECT_WRITERS if name not in ('coco', 'yolo')])
def test_boxes_in_other_formats(name, tmp_path, monkeypatch):
    run_detector(name, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize('name', [name for name in OBJECT_WRITERS if name != 'voc'])
def test_masks(name, tmp_path, monkeypatch):
    run_detector(name, tmp_path, monkeypatch, polygons=True)


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['ids', '0 and 255', 'colors', 'coco', 'labelme'])
def test_maps(kind, tmp_path, monkeypatch):
    pytest.importorskip('mmseg')
    src = tmp_path / 'src'
    made = scenes(6, polygons=True)
    options = ()
    if kind in OBJECT_WRITERS:
        OBJECT_WRITERS[kind](src, made)
        options = ('--target', 'maps')
    else:
        colors = np.array([[0, 0, 0], [200, 0, 0]], np.uint8)
        for scene in made:
            write_image(src / 'images' / scene.name, scene)
            ids = np.zeros((scene.height, scene.width), np.uint8)
            for thing in scene.things:
                x, y, w, h = map(int, thing.box)
                ids[y : y + h, x : x + w] = 1
            content = {'ids': ids, '0 and 255': 255 * ids, 'colors': colors[ids]}[kind]
            path = (src / 'masks' / scene.name).with_suffix('.png')
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(content).save(path)
    metrics = three_commands(src, tmp_path, monkeypatch, QUICK_MAPS, *options)
    assert 0 < metrics['mIoU'] <= 100


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['folders', 'table'])
def test_clips(kind, tmp_path, monkeypatch):
    pytest.importorskip('mmaction')
    src = tmp_path / 'src'
    rows = ['path,label']
    for label in ('wave', 'clap hands'):
        for index in range(3):
            name = f'{label}/{index}.mp4' if kind == 'folders' else f'{label[0]}{index}.mp4'
            write_clip(src / name, 20 + index + len(label))
            rows.append(f'{name},{label}')
    if kind == 'table':
        (src / 'labels.csv').write_text('\n'.join(rows))
    metrics = three_commands(src, tmp_path, monkeypatch, ONE_EPOCH)
    assert metrics['acc/top1'] in (0, 0.5, 1)


@pytest.mark.slow
def test_images(tmp_path, monkeypatch):
    for scene in scenes(8):
        write_image(tmp_path / 'src' / str(len(scene.things)) / scene.name, scene)
    metrics = three_commands(tmp_path / 'src', tmp_path, monkeypatch, ONE_EPOCH)
    assert metrics['acc/top1'] in (0, 0.5, 1)


@pytest.mark.parametrize('target', TARGETS)
def test_fragments_begin_with_the_folder(target):
    """dataset.py is a copy of the fragment that reads its own folder instead."""
    path = ROOT / 'configs/_base_/datasets' / f'{FRAGMENTS[target]}.py'
    assert path.read_text().count(ROOT_LINE) == 1


@pytest.mark.slow
@pytest.mark.parametrize('target', ['boxes', 'masks', 'maps'])
def test_configs_for_a_gpu(target, tmp_path, monkeypatch):
    """They pass the checks of a training; the commands scale the learning rate to the batch."""
    OBJECT_WRITERS['coco'](tmp_path / 'src', scenes(polygons=True))
    monkeypatch.chdir(tmp_path)
    result = run_here('prepare_data', 'own', 'src', '--device', 'cuda', '--target', target)
    assert result.returncode == 0, result.stderr
    train, test = result.stdout.splitlines()[-2:]
    assert train.endswith('train.py data/own/own.py --amp --auto-scale-lr')
    assert test.endswith('_200.pth' if target == 'maps' else '_100.pth')
    cfg = Config.fromfile('data/own/own.py')
    assert 'checkpoint' in str(cfg.model.backbone.init_cfg)
    assert cfg.train_dataloader.batch_size == 4
