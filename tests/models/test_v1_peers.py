"""Checkpoints of Swin V1 made and saved by timm, torchvision and mmpretrain (peers_v1.py).

Skipped where they are not installed. mmdet, mmaction2 and transformers are in test_v1_parity.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peer_process import run_with_peers
from peers_v1 import DEPTHS, DIMS, HEADS, VIDEO_WINDOW, WINDOW
from torch.testing import assert_close
from unnormalized import Unnormalized

from swinv2_dense import SwinTransformerV1, VideoSwinTransformerV1
from swinv2_dense.checkpoints.loading import load_pretrained

ARCH = dict(embed_dims=DIMS, depths=DEPTHS, num_heads=HEADS)


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """What all libraries save, made by one process."""
    target = tmp_path_factory.mktemp('peers')
    run_with_peers('peers_v1.py', ('timm', 'torchvision', 'mmpretrain'), target)
    return target


@pytest.mark.slow
@pytest.mark.parametrize(
    'library, name',
    [
        ('timm', 'timm V1'),
        ('torchvision', 'torchvision V1'),
        ('torchvision_video', 'torchvision video V1'),
        ('mmpretrain', 'OpenMMLab V1'),
    ],
)
def test_loaded_models_equal_theirs(library: str, name: str, folder: Path) -> None:
    image, *expected = torch.load(folder / f'{library}_features.pth', weights_only=True)
    kind, window, stages = SwinTransformerV1, WINDOW, (0, 1, 2)
    if library == 'torchvision_video':
        kind, window = VideoSwinTransformerV1, VIDEO_WINDOW
        image = torch.stack([image, image.flip(2), image.flip(3), image.mT], dim=2)
    model = kind(ARCH, window_size=window, out_indices=stages)
    report = load_pretrained(model, str(folder / f'{library}.pth'))
    assert report.format.startswith(name)
    assert report.missing == report.unexpected == []
    assert report.tables_for == []
    model.eval()
    with torch.no_grad():
        maps = model(image) if library == 'mmpretrain' else Unnormalized(model)(image)
    for found, reference in zip(maps, expected, strict=True):
        assert_close(found, reference, atol=1e-5 * reference.abs().max().item(), rtol=0)
