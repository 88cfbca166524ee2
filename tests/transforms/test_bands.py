"""Images with more than three bands or 8 bits: loaded, measured, normalized, trained on."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from commands import ROOT, run_here
from layouts import TABLES, torchvision, with_tables
from mmengine.config import Config
from mmengine.registry import TRANSFORMS
from narrow import narrow_model

from swinv2_dense.checkpoints.loading import load_pretrained
from swinv2_dense.checkpoints.new_bands import fit_bands
from swinv2_dense.cli.band_statistics import main as band_statistics
from swinv2_dense.errors import CheckpointError, ConfigError
from swinv2_dense.models import SwinTransformerV2

tifffile = pytest.importorskip('tifffile')
from swinv2_dense.checks.band_files import read_bands  # noqa: E402
from swinv2_dense.preparation.band_statistics import measure_bands  # noqa: E402

ARCH = dict(embed_dims=16, depths=(1, 1, 1, 1), num_heads=(1, 2, 4, 8))


def image(dtype: str = 'uint16', bands: int = 5, seed: int = 0) -> np.ndarray:
    numbers = np.random.default_rng(seed).normal(3000, 900, (24, 32, bands))
    return (numbers + 100 * np.arange(bands)).clip(0, 60000).astype(dtype)


def write(path: Path, pixels: np.ndarray) -> None:
    tifffile.imwrite(path, pixels, photometric='minisblack', planarconfig='contig')


@pytest.mark.parametrize('bands', [1, 3])
@pytest.mark.parametrize('dtype', ['uint8', 'uint16'])
def test_tiff_of_opencv(tmp_path, dtype, bands):
    """Compressed by LZW, for which tifffile needs a package of its own."""
    expected = image(dtype, bands)
    assert cv2.imwrite(str(tmp_path / 'a.tif'), np.ascontiguousarray(expected[..., ::-1]))
    with tifffile.TiffFile(tmp_path / 'a.tif') as file:
        assert file.pages[0].compression == 5
    assert np.array_equal(read_bands(tmp_path / 'a.tif'), expected)


@pytest.mark.parametrize('dtype', ['uint8', 'uint16', 'int16', 'float32', 'float64'])
@pytest.mark.parametrize('layout', ['interleaved', 'planes', 'pages'])
def test_tiff_of_any_type_and_layout(tmp_path, dtype, layout):
    expected = image(dtype)
    planes = np.ascontiguousarray(expected.transpose(2, 0, 1))
    path = tmp_path / 'a.tif'
    if layout == 'interleaved':
        write(path, expected)
    elif layout == 'planes':
        tifffile.imwrite(path, planes, photometric='minisblack', planarconfig='separate')
    else:
        tifffile.imwrite(path, planes, photometric='minisblack', metadata=dict(axes='CYX'))
    found = read_bands(path)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_other_formats(tmp_path):
    np.save(tmp_path / 'a.npy', image('float32'))
    np.testing.assert_array_equal(read_bands(tmp_path / 'a.npy'), image('float32'))
    gray = image(bands=1)
    cv2.imwrite(str(tmp_path / 'a.png'), gray)
    np.testing.assert_array_equal(read_bands(tmp_path / 'a.png'), gray)
    colors = image('uint8', bands=3)
    cv2.imwrite(str(tmp_path / 'b.png'), colors[..., ::-1])  # OpenCV takes BGR
    np.testing.assert_array_equal(read_bands(tmp_path / 'b.png'), colors)


def test_broken_files_are_named(tmp_path):
    tifffile.imwrite(
        tmp_path / 'stack.tif', np.zeros((2, 3, 8, 8), 'uint8'), photometric='minisblack'
    )
    with pytest.raises(ValueError, match='stack.tif has the axes'):
        read_bands(tmp_path / 'stack.tif')
    np.save(tmp_path / 'x.npy', np.array([dict()]), allow_pickle=True)
    with pytest.raises(ValueError, match='allow_pickle=False|pickled'):
        read_bands(tmp_path / 'x.npy')
    (tmp_path / 'cut.tif').write_bytes(b'II*\0')
    with pytest.raises(ConfigError, match=r'cut.tif cannot be read: '):
        measure_bands([tmp_path / 'cut.tif'])
    for name, bands in (('a', 2), ('b', 3)):
        np.save(tmp_path / f'{name}.npy', np.zeros((4, 4, bands)))
    with pytest.raises(ConfigError, match=r'b.npy has 3 bands, but .*a.npy has 2'):
        measure_bands([tmp_path / 'a.npy', tmp_path / 'b.npy'])


@pytest.mark.parametrize('dtype', ['uint8', 'uint16', 'float32'])
def test_statistics_are_those_of_numpy(tmp_path, dtype):
    images = [image(dtype, 3, seed)[: 8 + 4 * seed] for seed in range(4)]
    images[1][0, :3, 1] = 7  # no data
    for i, pixels in enumerate(images):
        np.save(tmp_path / f'{i}.npy', pixels)
    found = measure_bands(sorted(tmp_path.glob('*.npy')), nodata=7)
    for i, band in enumerate(found):
        values = np.concatenate([pixels[..., i].ravel() for pixels in images]).astype(float)
        values = values[values != 7]
        assert (band.pixels, band.minimum, band.maximum) == (
            *(len(values), values.min(), values.max()),
        )
        np.testing.assert_allclose((band.mean, band.std), (values.mean(), values.std()), rtol=1e-9)
        expected = np.percentile(values, list(band.percentiles), method='inverted_cdf')
        slack = 0 if dtype != 'float32' else (values.max() - values.min()) / 60000
        np.testing.assert_allclose(list(band.percentiles.values()), expected, atol=slack)


def test_the_command_prints_lines_to_paste(tmp_path, capsys):
    for i in range(2):
        write(tmp_path / f'{i}.tif', image(seed=i))
    band_statistics([str(tmp_path)])
    printed = capsys.readouterr().out
    assert printed.startswith('2 images, 1,536 pixels with data in band 0\n')
    lines = [line.strip().rstrip(',') for line in printed.splitlines() if "dict(type='" in line]
    load, normalize = (TRANSFORMS.build(eval(line)) for line in lines)  # as a config would
    normalized = [normalize(load(dict(img_path=str(tmp_path / f'{i}.tif'))))['img'] for i in (0, 1)]
    pixels = np.concatenate(normalized)
    np.testing.assert_allclose(pixels.mean((0, 1)), 0, atol=1e-3)
    np.testing.assert_allclose(pixels.std((0, 1)), 1, atol=1e-3)
    assert 'backbone=dict(in_channels=5)' in printed
    with pytest.raises(ConfigError, match='no images'):
        (tmp_path / 'void').mkdir()
        band_statistics([str(tmp_path / 'void')])


def test_normalization_by_hand():
    pixels = np.array([[[1, 10], [3, -9]], [[np.nan, 10], [5, 12]]], np.float32)
    step = TRANSFORMS.build(dict(type='NormalizeBands', mean=[1, 10], std=[2, 4], nodata=-9))
    found = step(dict(img=pixels))['img']
    np.testing.assert_array_equal(found, [[[0, 0], [1, 0]], [[0, 0], [2, 0.5]]])
    with pytest.raises(ValueError, match=r'mean and std of 2 bands, but the image has shape'):
        step(dict(img=pixels[..., :1]))
    with pytest.raises(ValueError, match='std positive'):
        TRANSFORMS.build(dict(type='NormalizeBands', mean=[1, 2], std=[1, 0]))


def test_chosen_bands(tmp_path):
    np.save(tmp_path / 'a.npy', image())
    load = TRANSFORMS.build(dict(type='LoadBands', bands=[3, 0]))
    found = load(dict(img_path=str(tmp_path / 'a.npy')))
    np.testing.assert_array_equal(found['img'], image()[..., [3, 0]].astype(np.float32))
    assert found['img'].dtype == np.float32 and found['ori_shape'] == (24, 32)
    with pytest.raises(ValueError, match=r'a.npy has 5 bands; LoadBands.bands=\[5\]'):
        TRANSFORMS.build(dict(type='LoadBands', bands=[5]))(dict(img_path=str(tmp_path / 'a.npy')))


# ---------------------------------------------------------------------- weights for other bands


def test_filters_by_hand():
    weight = torch.tensor([[3.0, 6.0, 12.0]])[..., None, None]  # one filter of one pixel
    fitted = {
        mode: fit_bands(weight, bands, mode, 'x').flatten().tolist()
        for mode, bands in (('repeat', 5), ('average', 6), ('zero', 5))
    }
    assert fitted['repeat'] == pytest.approx([1.8, 3.6, 7.2, 1.8, 3.6])  # times 3 / 5
    assert fitted['average'] == [3.5] * 6  # the mean 7 times 3 / 6
    assert fitted['zero'] == [3.0, 6.0, 12.0, 0.0, 0.0]
    assert fit_bands(weight, 1, 'average', 'x').flatten().tolist() == [21.0]  # the sum


def test_what_the_modes_preserve():
    """Repeated images, gray images, and images with anything in the new bands."""
    torch.manual_seed(0)
    weight, colors = torch.randn(4, 3, 4, 4), torch.randn(2, 3, 8, 8)
    gray = colors[:, :1]

    def embed(pixels: torch.Tensor, mode: str | None = None) -> torch.Tensor:
        filters = fit_bands(weight, pixels.shape[1], mode, 'x') if mode else weight
        return torch.conv2d(pixels, filters, stride=4)

    torch.testing.assert_close(embed(colors.repeat(1, 3, 1, 1), 'repeat'), embed(colors))
    torch.testing.assert_close(
        embed(gray.expand(-1, 7, -1, -1), 'average'), embed(gray.expand(-1, 3, -1, -1))
    )
    more = torch.cat([colors, torch.randn(2, 2, 8, 8)], dim=1)
    torch.testing.assert_close(embed(more, 'zero'), embed(colors))
    for mode, text in (
        ('zero', 'needs at least the 3 bands'),
        ('copy', "new_bands='copy' must be"),
    ):
        with pytest.raises(CheckpointError, match=text):
            fit_bands(weight, 2, mode, 'x')


@pytest.mark.parametrize('bands', [2, 4, 9, 11])
def test_weights_of_remote_sensing_load(tmp_path, bands):
    """Torchvision's layout with more bands, as from SatlasPretrain: bare, or in its model."""
    torch.manual_seed(0)
    trained = SwinTransformerV2(ARCH, in_channels=bands, window_size=8)
    ours = trained.state_dict()
    for prefix in ('', 'backbone.backbone.'):
        state = with_tables(torchvision(ours), TABLES['torchvision'], [1] * 4, [8] * 4, [0] * 4)
        state = {f'{prefix}{key}': value for key, value in state.items()}
        if prefix:
            state['fpn.fpn.inner_blocks.0.0.weight'] = torch.rand(2, 2, 1, 1)
        torch.save(state, tmp_path / 'satlas.pth')
        model = SwinTransformerV2(ARCH, in_channels=bands, window_size=16)
        report = load_pretrained(model, str(tmp_path / 'satlas.pth'))
        assert report.format.startswith('torchvision') and not report.missing
        assert report.pretrained_window_sizes == [(8, 8)] * 4
        proj = model.patch_embed.proj.weight
        assert torch.equal(proj, trained.patch_embed.proj.weight) and proj.shape[1] == bands
    wider = SwinTransformerV2(ARCH, in_channels=bands + 3, window_size=16)
    with pytest.raises(CheckpointError, match=f'takes {bands} bands, the backbone has in_channels'):
        load_pretrained(wider, str(tmp_path / 'satlas.pth'))
    load_pretrained(wider, str(tmp_path / 'satlas.pth'), new_bands='zero')
    assert torch.equal(wider.patch_embed.proj.weight[:, :bands], proj)
    assert not wider.patch_embed.proj.weight[:, bands:].any()


# ---------------------------------------------------------------------------- from file to metric

CONFIG = re.search(r'```python\n(.*?)```', (ROOT / 'docs/bands.md').read_text(), re.S)[1]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two TIFF images of five bands, and boxes."""
    root = tmp_path / 'own'
    boxes = [dict(bbox=[2, 3, 12, 14], area=168), dict(bbox=[15, 6, 14, 14], area=196)]
    for split in ('train', 'val'):
        (root / split).mkdir(parents=True)
        (root / 'annotations').mkdir(exist_ok=True)
        for i in range(2):
            seed = i + 2 * (split == 'val')
            write(root / split / f'{seed}.tif', image(seed=seed))
        names = sorted(path.name for path in (root / split).iterdir())
        images = [dict(id=i, file_name=n, width=32, height=24) for i, n in enumerate(names)]
        objects = [
            dict(id=2 * i + k + 1, image_id=i, category_id=1, iscrowd=0, **box)
            for i in range(2)
            for k, box in enumerate(boxes)
        ]
        coco = dict(images=images, annotations=objects, categories=[dict(id=1, name='tree')])
        (root / f'annotations/{split}.json').write_text(json.dumps(coco))
    monkeypatch.setenv('OWN_DATA', str(root))
    return root


def test_a_detector_of_five_bands(own, tmp_path):
    pytest.importorskip('mmdet')
    (tmp_path / 'own.py').write_text(CONFIG)
    cfg = Config.fromfile(tmp_path / 'own.py')
    assert cfg.model.backbone.in_channels == 5
    assert cfg.model.backbone.init_cfg.new_bands == 'repeat'
    narrow_model(cfg.model)
    for name in ('train', 'val', 'test'):
        cfg[f'{name}_dataloader'].update(num_workers=0, persistent_workers=False)
        for step in cfg[f'{name}_dataloader'].dataset.pipeline:
            if 'Resize' in step.type:
                step.update(type='Resize', scale=(64, 48))
    cfg.train_cfg.max_epochs = 1
    cfg.dump(tmp_path / 'small.py')
    work = tmp_path / 'work'
    result = run_here('train', tmp_path / 'small.py', '--work-dir', work)
    assert result.returncode == 0, result.stderr[-2000:]
    assert 'coco/bbox_mAP' in result.stdout + result.stderr
    result = run_here('browse_dataset', tmp_path / 'small.py', '--output-dir', tmp_path / 'shown')
    assert result.returncode == 0, result.stderr[-2000:]
    shown = cv2.imread(str(next((tmp_path / 'shown').iterdir())))
    assert shown.std() > 20  # stretched, not black
    out = tmp_path / 'out'
    result = run_here(
        'infer', work / 'epoch_1.pth', own / 'val', '--out-dir', out, '--score-thr', 0
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert len(list((out / 'predictions').iterdir())) == 2
