"""Images that OpenCV misreads are reported before a run; that it misreads them is tested, too."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import mmcv
import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from mmengine.dataset import Compose
from PIL import Image

from swinv2_dense.checks.image_files import loader_problem
from swinv2_dense.errors import ConfigError
from swinv2_dense.training.image_check import check_images, is_default_loader

GRAY = np.add.outer(np.arange(40), np.arange(50)) * 255 / 90  # 0 to 255
COLORS = np.stack([GRAY, GRAY[::-1], GRAY[:, ::-1]], axis=-1)

MISREAD = {  # contents by the name of the file, and what is said
    'g12.png': (
        (GRAY * 16).astype(np.uint16),
        'has 16 bits, but no value above 39.., .* takes only 12',
    ),
    'g10.tif': ((GRAY * 4).astype(np.uint16), 'no value above 99., which takes only 10'),
    'rgb12.png': ((COLORS * 16).astype(np.uint16), 'nearly black; scale it to 0..255'),
    'rgb12.tiff': ((COLORS * 16).astype(np.uint16), 'nearly black'),
    'g12.pgm': ((GRAY * 16).astype(np.uint16), 'nearly black'),
    'g12.jp2': ((GRAY * 16).astype(np.uint16), 'nearly black'),
    'float.tif': ((GRAY / 255).astype(np.float32), 'holds floating-point numbers of 32 bits'),
    'double.tif': (GRAY, 'holds floating-point numbers of 64 bits'),
    'rgb_float.tif': ((COLORS / 255).astype(np.float32), 'holds floating-point numbers'),
    'signed.tif': ((GRAY * 100).astype(np.int16), 'holds signed integers of 16 bits'),
    'int.tif': (GRAY.astype(np.int32), 'holds integers of 32 bits'),
}
READ = {
    'g8.png': GRAY.astype(np.uint8),
    'rgb8.tif': COLORS.astype(np.uint8),
    'g16.png': (GRAY * 257).astype(np.uint16),
    'rgb16.png': (COLORS * 257).astype(np.uint16),
    'rgb16.tif': (COLORS * 257).astype(np.uint16),
    'rgb.jpg': COLORS.astype(np.uint8),
    'rgb.bmp': COLORS.astype(np.uint8),
    'rgb.webp': COLORS.astype(np.uint8),
}


def write(folder: Path, name: str, content: np.ndarray) -> Path:
    assert cv2.imwrite(str(folder / name), content)
    return folder / name


def is_read_well(path: Path, content: np.ndarray) -> bool:
    """Whether mmcv's image is the content within a few levels of 255, stretched to that range."""
    image = mmcv.imread(str(path))
    if image is None:
        return False
    expected = content.astype(float) / content.max() * 255
    return np.abs(image - (expected if content.ndim == 3 else expected[..., None])).mean() < 5


@pytest.mark.parametrize('name', MISREAD)
def test_misread_images_are_reported(name, tmp_path):
    content, message = MISREAD[name]
    path = write(tmp_path, name, content)
    assert not is_read_well(path, content), 'OpenCV has learned it'
    assert re.search(message, loader_problem(path) or 'nothing is said')


@pytest.mark.parametrize('name', READ)
def test_valid_input_passes(name, tmp_path):
    path = write(tmp_path, name, READ[name])
    assert is_read_well(path, READ[name])
    assert loader_problem(path) is None


@pytest.mark.parametrize('mode', ['P', '1', 'LA', 'RGBA', 'CMYK', 'YCbCr', 'L'])
def test_modes_that_opencv_converts_pass(mode, tmp_path):
    path = tmp_path / ('a.tif' if mode in ('CMYK', 'YCbCr') else 'a.png')
    Image.fromarray(COLORS.astype(np.uint8)).convert(mode).save(path)
    assert loader_problem(path) is None


def test_broken_files_are_not_reported_here(tmp_path):
    for name, content in {
        'a.png': b'',
        'b.tif': b'II*\0\x08',
        'c.tif': b'MM\0*' + bytes(8),
    }.items():
        (tmp_path / name).write_bytes(content)
        assert loader_problem(tmp_path / name) is None
    assert loader_problem(tmp_path / 'none.png') is None


# ---------------------------------------------------------------------------------------- datasets


class Images:
    def __init__(self, paths: list[Path], loader: object = None) -> None:
        self.paths = paths
        self.pipeline = Compose([loader or LoadImageFromFile()])

    def __len__(self) -> int:
        return len(self.paths)

    def get_data_info(self, index: int) -> dict:
        return dict(img_path=str(self.paths[index]))


def test_a_dataset_is_checked_and_counted(tmp_path):
    paths = [write(tmp_path, f'{i}.png', MISREAD['g12.png'][0]) for i in range(3)]
    paths += [write(tmp_path, 'float.tif', MISREAD['float.tif'][0])]
    paths += [write(tmp_path, 'good.jpg', READ['rgb.jpg'])]
    with pytest.raises(ConfigError) as error:
        check_images('train_dataloader', Images(paths), print)
    text = str(error.value)
    assert text.startswith('train_dataloader: ') and '\n' not in text
    assert '1 of 5 images: each holds floating-point numbers' in text and 'float.tif' in text
    assert '3 of 5 images: each has 16 bits' in text and '0.png' in text


def test_dark_images_among_others_are_a_note(tmp_path):
    paths = [write(tmp_path, f'{i}.png', MISREAD['g12.png'][0]) for i in range(3)]
    paths += [write(tmp_path, 'good.png', READ['g16.png'])]
    said: list[str] = []
    check_images('train_dataloader', Images(paths), said.append)
    assert len(said) == 1 and '4 of 4 images have 16 bits' in said[0]


def test_more_pages_are_a_note(tmp_path):
    page = Image.fromarray(COLORS.astype(np.uint8))
    page.save(tmp_path / 'stack.tif', save_all=True, append_images=[page])
    page.save(tmp_path / 'one.tif')
    said: list[str] = []
    check_images('val', Images([tmp_path / 'stack.tif', tmp_path / 'one.tif']), said.append)
    assert len(said) == 1 and '1 of 2 images have several pages' in said[0]
    assert loader_problem(tmp_path / 'stack.tif') is None


@pytest.mark.parametrize(
    'loader',
    [
        LoadImageFromFile(color_type='unchanged', to_float32=True),
        LoadImageFromFile(imdecode_backend='tifffile'),
        type('OwnLoader', (LoadImageFromFile,), {})(),
    ],
)
def test_other_loaders_are_not_checked(loader, tmp_path):
    assert is_default_loader(LoadImageFromFile()) and not is_default_loader(loader)
    path = write(tmp_path, 'float.tif', MISREAD['float.tif'][0])
    check_images('train_dataloader', Images([path], loader), print)
