"""Folders of images with many bands or more than 8 bits: recognized, measured, trained on."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import run_here
from format_writers import Scene, Thing, coco_dict, write_labelme, write_voc, write_yolo
from mmengine.config import Config
from own_commands import ONE_EPOCH, QUICK, QUICK_MAPS, three_commands
from PIL import Image

from swinv2_dense.errors import ConfigError
from swinv2_dense.preparation.own.prepare import Options, Prepared, prepare

tifffile = pytest.importorskip('tifffile')

WIDTH, HEIGHT, BANDS = 72, 56, 5
TREE = Thing('tree', (10.0, 20.0, 30.0, 16.0), ((10.0, 20.0, 40.0, 20.0, 40.0, 36.0, 10.0, 36.0),))
RANGES = {'uint8': (90, 20), 'uint16': (3000, 300), 'int16': (-200, 90), 'float32': (0.2, 0.05)}


def pixels(dtype: str, seed: int, bands: int = BANDS) -> np.ndarray:
    """Noise, in which only the last band shows the tree."""
    middle, spread = RANGES[dtype]
    image = np.random.default_rng(seed).normal(middle, spread, (HEIGHT, WIDTH, bands))
    image[20:36, 10:40, -1] += 5 * spread
    return image.astype(dtype)


def write_tiff(path: Path, image: np.ndarray, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = dict(photometric='minisblack', planarconfig='contig') | options
    tifffile.imwrite(path, image, **settings)


def scenes(count: int = 5, polygons: bool = False) -> list[Scene]:
    thing = TREE if polygons else TREE._replace(polygons=())
    return [Scene(f'{i}.tif', WIDTH, HEIGHT, (thing,)) for i in range(count)]


def write_coco(root: Path, dtype: str = 'uint16', polygons: bool = False) -> Path:
    """all.json and images/."""
    made = scenes(polygons=polygons)
    for seed, scene in enumerate(made):
        write_tiff(root / 'images' / scene.name, pixels(dtype, seed))
    (root / 'all.json').write_text(json.dumps(coco_dict(made, ['tree'])))
    return root


def write_maps(root: Path, dtype: str = 'uint16', count: int = 5) -> Path:
    ids = np.zeros((HEIGHT, WIDTH), np.uint8)
    ids[20:36, 10:40] = 1
    (root / 'masks').mkdir(parents=True)
    for seed in range(count):
        write_tiff(root / f'images/{seed}.tif', pixels(dtype, seed))
        Image.fromarray(ids).save(root / f'masks/{seed}.png')
    return root


def trained_on(prepared: Prepared) -> np.ndarray:
    """(pixels, bands) of the training images, read by tifffile."""
    images = [tifffile.imread(sample.path) for sample in prepared.splits['train']]
    return np.concatenate([image.reshape(-1, image.shape[-1]) for image in images])


# --------------------------------------------------------------------- recognized and measured


@pytest.mark.parametrize('dtype', RANGES)
def test_mean_and_deviation_of_the_training_images(dtype, tmp_path):
    prepared = prepare(write_coco(tmp_path, dtype), Options())
    values = trained_on(prepared).astype(np.float64)
    assert prepared.bands.mean == pytest.approx(values.mean(0), rel=1e-5)
    assert prepared.bands.std == pytest.approx(values.std(0), rel=1e-5)
    assert 'bands: 5, normalized by mean and deviation of 4 training images' in prepared.report
    assert [sample.loaded for sample in prepared.found.samples] == [(WIDTH, HEIGHT)] * 5


@pytest.mark.parametrize('write', [write_yolo, write_voc, write_labelme])
def test_other_formats(write, tmp_path):
    """YOLO's fractions need the size of images that Pillow cannot read."""
    for scene in scenes():
        folder = {write_yolo: 'images', write_voc: 'JPEGImages', write_labelme: ''}[write]
        write_tiff(tmp_path / folder / scene.name, pixels('uint16', int(scene.name[0])))
    write(tmp_path, scenes())  # keeps the images
    prepared = prepare(tmp_path, Options())
    assert len(prepared.bands.mean) == BANDS
    boxes = [o.box for sample in prepared.found.samples for o in sample.objects]
    assert np.allclose(boxes, [TREE.box] * 5, atol=1)  # VOC counts pixels from 1


def test_colors_are_read_as_ever(tmp_path):
    """TIFF of colors, with or without transparency; `--bands` keeps them as bands."""
    (tmp_path / 'all.json').write_text(json.dumps(coco_dict(scenes(), ['tree'])))
    for seed, scene in enumerate(scenes()):
        image = pixels('uint8', seed, 3 + seed % 2)
        write_tiff(tmp_path / 'images' / scene.name, image, photometric='rgb')
    assert prepare(tmp_path, Options()).bands is None
    with pytest.raises(ConfigError, match='another number of bands than the 3 of most'):
        prepare(tmp_path, Options(reads_bands=True))


def test_two_and_four_bands_of_8_bits(tmp_path):
    for bands in (2, 4):
        root = tmp_path / str(bands)
        for seed, scene in enumerate(scenes()):
            write_tiff(root / 'images' / scene.name, pixels('uint8', seed, bands))
        (root / 'all.json').write_text(json.dumps(coco_dict(scenes(), ['tree'])))
        assert len(prepare(root, Options()).bands.mean) == bands


def test_gray_png_of_16_bits(tmp_path):
    """Dark ones used to be refused."""
    made = [scene._replace(name=f'{i}.png') for i, scene in enumerate(scenes())]
    (tmp_path / 'all.json').write_text(json.dumps(coco_dict(made, ['tree'])))
    for seed, scene in enumerate(made):
        Image.fromarray(pixels('uint16', seed)[..., -1]).save(tmp_path / scene.name)
    bands = prepare(tmp_path, Options()).bands
    assert len(bands.mean) == 1
    assert bands.new_bands == 'average'


def test_pixels_without_data_and_constant_bands(tmp_path):
    write_coco(tmp_path, 'int16')
    for path in (tmp_path / 'images').iterdir():
        image = tifffile.imread(path)
        image[:10] = -9999
        image[..., 1] = 7
        write_tiff(path, image, extratags=[(42113, 's', 0, '-9999', True)])  # as GDAL writes it
    prepared = prepare(tmp_path, Options())
    assert (prepared.bands.nodata, prepared.bands.used) == (-9999, [0, 2, 3, 4])
    assert prepared.notes.warnings['bands that are constant, left out'] == ['band 1']
    values = trained_on(prepared)[:, [0, 2, 3, 4]].astype(np.float64)
    kept = np.ma.masked_equal(values, -9999)
    assert prepared.bands.mean == pytest.approx(kept.mean(0).data, rel=1e-5)
    assert prepared.bands.std == pytest.approx(kept.std(0).data, rel=1e-5)
    text = prepared.bands.config(is_small=True)
    assert "dict(type='LoadBands', bands=[0, 2, 3, 4])" in text
    assert 'nodata=-9999,' in text
    assert 'in_channels=4' in text


# ------------------------------------------------------------------------------------------ refused


def refused(src: Path, *flags: str) -> str:
    """The line that the command ends with; nothing is written."""
    out = src.parent / 'out'
    result = run_here('prepare_data', 'own', src, '--out', out, '--device', 'cpu', *flags)
    assert result.returncode == 2
    assert not out.exists()
    return result.stderr.splitlines()[-1]


def test_images_that_are_not_bands(tmp_path):
    """A damaged file, and other bands than the others."""
    for name, spoil, message in (
        (
            'cut',
            lambda p: p.write_bytes(p.read_bytes()[:500]),
            r'1 images are damaged, first .*2\.',
        ),
        (
            'other',
            lambda p: write_tiff(p, pixels('uint16', 2, 4)),
            r'than the 5 of most, first images/2\.tif: 4; prepare',
        ),
    ):
        src = write_coco(tmp_path / name)
        spoil(src / 'images/2.tif')
        line = refused(src)
        assert re.search(message, line), line
    assert len(prepare(tmp_path / 'cut', Options(skip_broken=True)).found.samples) == 4


def test_without_tifffile(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'tifffile', None)
    assert 'pip install tifffile' in refused(write_coco(tmp_path / 'src'))


def test_a_stored_rotation(tmp_path):
    """OpenCV's loader would apply it, and `LoadBands` does not."""
    (tmp_path / 'all.json').write_text(json.dumps(coco_dict(scenes(), ['tree'])))
    for seed, scene in enumerate(scenes()):
        options = dict(extratags=[(274, 'H', 1, 3, True)]) if seed == 2 else {}
        write_tiff(tmp_path / scene.name, pixels('uint16', seed)[..., -1], **options)
    with pytest.raises(ConfigError, match=r'1 images have an orientation, .* first 2\.tif; save'):
        prepare(tmp_path, Options())


# ------------------------------------------------------------------------ from a folder to a metric


@pytest.mark.parametrize('target', ['boxes', 'masks', 'maps'])
def test_configs_for_a_gpu(target, tmp_path, monkeypatch):
    """They pass the checks of a training; the weights for colors are fitted."""
    if target == 'maps':
        write_maps(tmp_path / 'src')
    else:
        write_coco(tmp_path / 'src', polygons=target == 'masks')
    monkeypatch.chdir(tmp_path)
    result = run_here('prepare_data', 'own', 'src', '--device', 'cuda')
    assert result.returncode == 0, result.stderr
    cfg = Config.fromfile('data/own/own.py')
    assert cfg.model.backbone.in_channels == BANDS
    assert cfg.model.backbone.init_cfg.new_bands == 'repeat'
    for part in ('train', 'val', 'test'):
        types = [step.type for step in cfg[f'{part}_dataloader'].dataset.pipeline]
        assert types[:2] == ['LoadBands', 'NormalizeBands']
        assert not {'LoadImageFromFile', 'PhotoMetricDistortion'} & set(types)


def written_map(checkpoint: str) -> np.ndarray:
    """What `infer` predicts for an image."""
    args = (checkpoint, 'src/images/0.tif', '--out-dir', 'out', '--device', 'cpu')
    result = run_here('infer', *args)
    assert result.returncode == 0, result.stderr
    (path,) = Path('out/label_maps').iterdir()
    return np.asarray(Image.open(path))


def test_maps(tmp_path, monkeypatch):
    """A segmentor of five bands, from floating-point TIFF to mIoU."""
    pytest.importorskip('mmseg')
    write_maps(tmp_path / 'src', 'float32')
    metrics = three_commands(tmp_path / 'src', tmp_path, monkeypatch, QUICK_MAPS)
    assert 0 < metrics['mIoU'] <= 100
    assert written_map('work_dirs/mine/iter_2.pth').shape == (HEIGHT, WIDTH)


@pytest.mark.slow
def test_a_segmentor_learns_from_the_last_band(tmp_path, monkeypatch):
    """No other band shows the class, so three of the five bands would not do."""
    pytest.importorskip('mmseg')
    write_maps(tmp_path / 'src', count=10)
    steps = ['train_cfg.max_iters=80', 'train_cfg.val_interval=80']
    steps += ['default_hooks.checkpoint.interval=80', 'param_scheduler.1.end=80']
    metrics = three_commands(tmp_path / 'src', tmp_path, monkeypatch, steps)
    assert metrics['mIoU'] > 80
    found = written_map('work_dirs/mine/iter_80.pth')
    truth = np.asarray(Image.open('src/masks/0.png'))
    assert (found == truth).mean() > 0.9
    args = ('data/mine/own.py', 'work_dirs/mine/iter_80.pth', '--show-dir', 'shown')
    result = run_here('test', *args, '--cfg-options', *QUICK)
    assert result.returncode == 0, result.stderr
    for path in Path('shown').rglob('*.*'):
        assert np.asarray(Image.open(path)).std() > 20  # stretched, not black


@pytest.mark.slow
@pytest.mark.parametrize('target', ['boxes', 'masks', 'images'])
def test_other_targets(target, tmp_path, monkeypatch):
    if target == 'images':
        for seed in range(8):
            path = tmp_path / 'src' / ('tree' if seed % 2 else 'bush') / f'{seed}.tif'
            write_tiff(path, pixels('uint16', seed))
    else:
        pytest.importorskip('mmdet')
        write_coco(tmp_path / 'src', polygons=target == 'masks')
    metrics = three_commands(tmp_path / 'src', tmp_path, monkeypatch, ONE_EPOCH)
    key = dict(boxes='coco/bbox_mAP', masks='coco/segm_mAP', images='acc/top1')[target]
    assert 0 <= metrics[key] <= 1
