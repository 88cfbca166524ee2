"""The generated segmentation dataset: files, labels, colors and integrity."""

from __future__ import annotations

import colorsys
import filecmp
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import ROOT
from mmengine.config import Config

from swinv2_dense.quickstart import surfaces
from swinv2_dense.quickstart.label_panel import draw_label_panel
from swinv2_dense.quickstart.surfaces import CLASSES, SurfacesSpec

SPEC = SurfacesSpec(seed=3, size=96, train=7, val=3)


@pytest.fixture(scope='module')
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('data') / 'surfaces'
    assert surfaces.write_dataset(root, SPEC)
    return root


def files(root: Path) -> list[Path]:
    return sorted(path.relative_to(root) for path in root.rglob('*') if path.is_file())


def test_equal_specs_give_equal_files_and_others_others(dataset, tmp_path):
    surfaces.write_dataset(tmp_path / 'again', SPEC)
    assert len(files(dataset)) == 2 * (SPEC.train + SPEC.val) + 2
    assert files(dataset) == files(tmp_path / 'again')
    for name in files(dataset):
        assert filecmp.cmp(dataset / name, tmp_path / 'again' / name, shallow=False), name
    images = [surfaces.draw(SPEC, 'train', 0), surfaces.draw(SPEC, 'train', 1)]
    images += [surfaces.draw(SPEC, 'val', 0), surfaces.draw(replace(SPEC, seed=4), 'train', 0)]
    for k, (image, _) in enumerate(images):
        assert all((image != other).any() for other, _ in images[k + 1 :])


def test_the_hue_of_a_pixel_is_that_of_its_class():
    """Converted by colorsys; noise shifts dark pixels, so not all hues match."""
    hues = dict(red=0, yellow=60, green=120, cyan=180, blue=240, magenta=300)
    right = count = 0
    for index in range(20):
        image, labels = surfaces.draw(SPEC, 'train', index)
        for y, x in np.ndindex(labels[::5, ::5].shape):
            b, g, r = image[5 * y, 5 * x] / 255
            hue = 360 * colorsys.rgb_to_hsv(r, g, b)[0]
            name = CLASSES[labels[5 * y, 5 * x]].split()[0]
            right += abs((hue - hues[name] + 180) % 360 - 180) < 35
            count += 1
    assert right / count > 0.9


def test_every_class_occurs_and_every_image_has_several():
    maps = [surfaces.draw(SPEC, 'train', index)[1] for index in range(60)]
    shares = np.bincount(np.concatenate([m.ravel() for m in maps]), minlength=len(CLASSES))
    assert len(shares) == len(CLASSES)
    assert (shares / shares.sum() > 0.5 / len(CLASSES)).all()
    assert np.mean([len(np.unique(m)) for m in maps]) > 3


def test_maps_are_what_mmseg_reads(dataset):
    pytest.importorskip('mmseg')
    from mmseg.datasets import BaseSegDataset

    cfg = Config.fromfile(ROOT / 'configs/_base_/datasets/surfaces.py')
    meta = cfg.train_dataloader.dataset.metainfo
    assert tuple(meta.classes) == CLASSES
    assert [tuple(color) for color in meta.palette] == list(surfaces.PALETTE)
    assert (dataset / 'classes.txt').read_text().split('\n')[:-1] == list(CLASSES)
    settings = {
        k: v for k, v in cfg.val_dataloader.dataset.items() if k not in ('type', 'pipeline')
    }
    settings['pipeline'] = [dict(type='mmseg.LoadAnnotations')]
    found = BaseSegDataset(**{**settings, 'data_root': str(dataset)})
    assert len(found) == SPEC.val
    for index in range(SPEC.val):
        expected = surfaces.draw(SPEC, 'val', index)[1]
        assert np.array_equal(found[index]['gt_seg_map'], expected)


def test_reuse_and_refusal(dataset, tmp_path):
    before = {name: (dataset / name).stat().st_mtime_ns for name in files(dataset)}
    assert not surfaces.write_dataset(dataset, SPEC)
    with pytest.raises(ValueError, match=r'seed is 3 there, 4 here.*Delete'):
        surfaces.write_dataset(dataset, replace(SPEC, seed=4))
    assert before == {name: (dataset / name).stat().st_mtime_ns for name in files(dataset)}
    (tmp_path / 'notes.txt').write_text('mine')
    with pytest.raises(ValueError, match=r'not a surfaces dataset, .*spec.json is missing'):
        surfaces.write_dataset(tmp_path, SPEC)
    surfaces.write_dataset(tmp_path / 'set', SPEC)
    (tmp_path / 'set' / 'masks' / 'val' / '000001.png').unlink()
    with pytest.raises(ValueError, match='masks/val: 2 of 3 label maps'):
        surfaces.write_dataset(tmp_path / 'set', SPEC)


def test_interruptions_leave_nothing(tmp_path, monkeypatch):
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cv2, 'imwrite', interrupt)
    with pytest.raises(KeyboardInterrupt):
        surfaces.write_dataset(tmp_path / 'surfaces', SPEC)
    assert list(tmp_path.iterdir()) == []


def test_the_panel_shows_the_colors_of_truth_and_prediction(dataset, tmp_path):
    """With blue predicted everywhere, blue fills its share of the picture."""
    (tmp_path / 'found').mkdir()
    for path in (dataset / 'masks' / 'val').iterdir():
        labels = np.full((SPEC.size, SPEC.size), CLASSES.index('blue dots'), np.uint8)
        cv2.imwrite(str(tmp_path / 'found' / path.name), labels)
    folders = dataset / 'images' / 'val', dataset / 'masks' / 'val', tmp_path / 'found'
    draw_label_panel(*folders, CLASSES, surfaces.PALETTE, tmp_path / 'panel.png')
    picture = cv2.imread(str(tmp_path / 'panel.png'))[..., ::-1].astype(float)
    hues = [colorsys.rgb_to_hsv(*pixel)[0] for pixel in picture[::7, ::7].reshape(-1, 3) / 255]
    blue = colorsys.rgb_to_hsv(*(np.array(surfaces.PALETTE[4]) / 255))[0]
    share = np.mean([abs(hue - blue) < 0.03 for hue in hues])
    assert 0.1 < share < 0.5
