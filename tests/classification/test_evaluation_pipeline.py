"""What a classifier sees of an image in a test, against Pillow and numpy alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from contracts import classification
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import MODELS
from PIL import Image

import swinv2_dense.classification  # noqa: F401  registers

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A JPEG of smooth random colors, with an orientation tag that says it lies on its side."""
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (13, 18, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    small.resize((500, 375), Image.Resampling.BICUBIC).save(tmp_path / 'a.JPEG', exif=exif)
    return tmp_path / 'a.JPEG'


def official(path: Path, size: int) -> np.ndarray:
    """The official evaluation: bicubic to 256/224 of the size, the center of it, ImageNet's mean.

    At 384 it resizes the whole image instead. Orientation tags are ignored.
    """
    with Image.open(path) as image:
        image = image.convert('RGB')
    width, height = image.size
    if size == 384:
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    else:
        short = int(256 / 224 * size)
        scaled = (int(short * width / height), short) if width > height else None
        image = image.resize(scaled, Image.Resampling.BICUBIC)
        left, top = round((image.width - size) / 2), round((image.height - size) / 2)
        image = image.crop((left, top, left + size, top + size))
    return ((np.asarray(image) / 255 - MEAN) / STD).transpose(2, 0, 1)


@pytest.mark.parametrize(
    'name',
    [
        'swinv2-t-w8_8xb128-bf16-300e_in1k-256',
        'swinv2-b-w12_32xb128-bf16-90e_in22k-192',
        'swinv2-b-w14_simmim-pre_16xb128-bf16-100e_in1k-224',
        'swinv2-b-w24_in22k-pre_16xb64-bf16-30e_in1k-384',
    ],
)
def test_it_is_the_official_input(name: str, photo: Path) -> None:
    cfg = classification.CONTRACT.load(name)
    size = int(name.rpartition('-')[2])
    data = Compose(cfg.test_dataloader.dataset.pipeline)(dict(img_path=str(photo), gt_label=3))
    preprocess = MODELS.build(cfg.model.data_preprocessor)
    (found,) = preprocess(pseudo_collate([data]))['inputs']
    expected = torch.from_numpy(official(photo, size)).float()
    assert found.shape == (3, size, size)
    assert torch.allclose(found, expected, atol=1e-5)
    assert int(data['data_samples'].gt_label) == 3
