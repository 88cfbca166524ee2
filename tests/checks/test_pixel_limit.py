"""Images, maps and videos beyond the pixel limit are rejected by header, never decoded."""

from __future__ import annotations

import os
import pickle
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from bombs import bomb
from mmengine.dataset import BaseDataset
from PIL import Image

from swinv2_dense.checks import pixel_limit
from swinv2_dense.checks.image_headers import read_image_size
from swinv2_dense.checks.pixel_limit import (
    PixelLimitError,
    check_image_file,
    check_pixels,
    max_pixels,
    set_max_pixels,
)
from swinv2_dense.choices import MAX_PIXELS
from swinv2_dense.errors import ConfigError
from swinv2_dense.preparation.images import FileError, image_size
from swinv2_dense.resilience.unreadable_samples import UnreadableSampleError, guard_dataset
from swinv2_dense.seg.check_label_maps import Rules

SIZE = (37, 23)  # width, height


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(pixel_limit.VARIABLE, str(MAX_PIXELS))
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', Image.MAX_IMAGE_PIXELS)


def written_by_pillow(folder: Path) -> None:
    image = Image.new('RGB', SIZE, (200, 10, 30))
    for suffix in ('png', 'jpg', 'tif', 'bmp', 'webp', 'gif', 'ppm', 'tga', 'jp2', 'ico'):
        image.save(folder / f'pillow.{suffix}', **(dict(sizes=[SIZE]) if suffix == 'ico' else {}))
    image.save(folder / 'progressive.jpeg', progressive=True)
    image.save(folder / 'big.tiff', big_tiff=True)
    small = image.resize((5, 4))
    small.save(folder / 'pages.tif', save_all=True, append_images=[image, small])
    Image.new('1', SIZE).save(folder / 'bits.pbm')
    Image.new('I;16', SIZE).save(folder / 'deep.png')
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees; the size is that in the file
    image.save(folder / 'turned.jpg', exif=exif)


def written_by_opencv(folder: Path) -> None:
    width, height = SIZE
    image = np.full((height, width, 3), 100, np.uint8)
    for suffix in ('png', 'jpg', 'tiff', 'bmp', 'webp', 'pgm', 'ppm', 'pnm', 'pam', 'sr'):
        pixels = image[..., 0] if suffix == 'pgm' else image
        assert cv2.imwrite(str(folder / f'opencv.{suffix}'), pixels)
    for suffix in ('hdr', 'pfm', 'tiff'):
        assert cv2.imwrite(str(folder / f'float.{suffix}'), image.astype(np.float32))


def written_by_hand(folder: Path) -> None:
    width, height = SIZE
    (folder / 'comment.ppm').write_bytes(
        b'P6 # made\n# by hand\n37\n#x\n23 255\n' + bytes(37 * 23 * 3)
    )
    window = struct.pack('<iiii', -5, 3, width - 6, height + 2)
    name = b'comments\0string\0' + struct.pack('<I', 9000) + b'c' * 9000
    attribute = b'dataWindow\0box2i\0' + struct.pack('<I', 16) + window
    (folder / 'a.exr').write_bytes(b'\x76\x2f\x31\x01\x02\0\0\0' + name + attribute + b'\0')
    old = struct.pack('<IHHHH', 12, width, height, 1, 24)
    (folder / 'old.bmp').write_bytes(b'BM' + bytes(12) + old)
    upside_down = struct.pack('<IiiHH', 40, width, -height, 1, 24)
    (folder / 'from_top.bmp').write_bytes(b'BM' + bytes(12) + upside_down + bytes(24))
    bands = dict(zip((256, 257, 258, 277), (width, height, 64, 7)))  # no mode of Pillow's
    entries = b''.join(struct.pack('>HHIHH', tag, 3, 1, n, 0) for tag, n in bands.items())
    tiff = b'MM\0\x2a' + struct.pack('>IH', 8, len(bands)) + entries + bytes(4)
    (folder / 'bands.tif').write_bytes(tiff)


def test_sizes_are_read_from_headers_of_every_format(tmp_path):
    written_by_pillow(tmp_path)
    written_by_opencv(tmp_path)
    written_by_hand(tmp_path)
    files = sorted(tmp_path.iterdir())
    assert len(files) >= 30
    for file in files:
        assert read_image_size(file) == SIZE, file.name
        assert read_image_size(file.read_bytes()) == SIZE
    set_max_pixels(37 * 23 - 1)
    for file in files:
        with pytest.raises(ConfigError, match=f'{file.name} has 37 x 23 pixels'):
            check_image_file(file)


@pytest.mark.parametrize(
    'content',
    [b'', b'text', b'\x89PNG\r\n\x1a\n', b'P6 \n', b'BM', b'II*\0', b'MM\0+' + b'\xff' * 30],
)
def test_what_is_not_an_image_passes(tmp_path, content):
    """Decoding it gives a better message."""
    (tmp_path / 'a').write_bytes(content)
    assert read_image_size(tmp_path / 'a') is None
    check_image_file(tmp_path / 'a')
    check_image_file(tmp_path / 'not_there')


def test_the_limit():
    assert max_pixels() == MAX_PIXELS == 2 * Image.MAX_IMAGE_PIXELS
    check_pixels(MAX_PIXELS, 1, 'a.png')
    with pytest.raises(
        ConfigError, match=r'^a.png has 20000 x 20000 pixels .*--max-pixels'
    ) as found:
        check_pixels(20000, 20000, 'a.png')
    again = pickle.loads(pickle.dumps(found.value))  # between the workers of a loader
    assert str(again) == str(found.value) and again.reason == found.value.reason
    set_max_pixels(100)
    check_pixels(10, 10, 'a.png')
    with pytest.raises(PixelLimitError):
        check_pixels(101, 1, 'a.png')
    with pytest.raises(ConfigError, match='--max-pixels=0 must be 1 or more'):
        set_max_pixels(0)
    os.environ[pixel_limit.VARIABLE] = '1e6'
    with pytest.raises(ConfigError, match="SWINV2_DENSE_MAX_PIXELS='1e6' must be a number"):
        max_pixels()


def test_pillow_opens_what_the_limit_allows(tmp_path):
    file = bomb(tmp_path / 'a.png')
    with pytest.raises(Image.DecompressionBombError):
        Image.open(file)
    set_max_pixels(10**9)
    check_image_file(file)
    with Image.open(file) as image:
        assert image.size == (20000, 20000)
    with pytest.warns(Image.DecompressionBombWarning):
        Image.MAX_IMAGE_PIXELS = 399_999_999
        Image.open(file)
    assert read_image_size(bomb(tmp_path / 'b.png', 40000, 30)) == (40000, 30)


def test_samples_are_rejected_before_decoding(tmp_path):
    """Images and label maps, in training, validation, test and browsing."""
    Image.new('L', (8, 8)).save(tmp_path / 'small.png')
    file = bomb(tmp_path / 'bomb.png')

    class Samples(BaseDataset):
        def load_data_list(self) -> list[dict]:
            small = str(tmp_path / 'small.png')
            return [
                dict(img_path=small, seg_map_path=small),
                dict(img_path=str(file), seg_map_path=small),
                dict(img_path=small, seg_map_path=str(file)),
            ]

    dataset = Samples(pipeline=[lambda sample: sample['img_path']])
    guard_dataset(dataset, 'train_dataloader')
    assert dataset[0] == str(tmp_path / 'small.png')
    for index in (1, 2):
        with pytest.raises(UnreadableSampleError, match='bomb.png has 20000 x 20000 pixels'):
            dataset[index]
    dataset.test_mode = False
    guard_dataset(dataset, 'train_dataloader', tmp_path / 'faults')
    assert dataset[1] == str(tmp_path / 'small.png')  # in training it is replaced
    assert 'has 20000 x 20000 pixels' in next(Path(tmp_path, 'faults').iterdir()).read_text()


def test_label_maps_and_their_images(tmp_path):
    pytest.importorskip('mmcv')
    Image.new('L', (8, 8)).save(tmp_path / 'small.png')
    small, file = str(tmp_path / 'small.png'), str(bomb(tmp_path / 'bomb.png'))
    rules = Rules('pillow', np.zeros(256, int), 255, ('a',), True)
    assert rules.examine(small, small)[0] == []
    for pair in ((small, file), (file, small)):
        ((kind, text),) = rules.examine(*pair)[0]
        assert 'limit of pixels' in kind and text.startswith(f'{file} has 20000 x 20000 pixels')


def test_preparation_does_not_decode_it(tmp_path):
    with pytest.raises(FileError, match='more pixels than allowed'):
        image_size(bomb(tmp_path / 'bomb.png'))
