"""Checkpoints of Swin V1 made and saved by timm, torchvision and mmpretrain (peers_v1.py).

Skipped where they are not installed. mmdet, mmaction2 and transformers are in test_v1_parity.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from commands import SUPPORT
from peers_v1 import DEPTHS, DIMS, HEADS, VIDEO_WINDOW, WINDOW
from torch.testing import assert_close
from unnormalized import Unnormalized

from swinv2_dense import SwinTransformerV1, VideoSwinTransformerV1
from swinv2_dense.checkpoints.loading import load_pretrained

# tools/setup.sh installs them apart: torchvision changes what transformers and mmaction2 import.
PEERS = Path(os.environ.get('SWINV2_DENSE_PEERS') or Path(sys.prefix) / 'peers')
ARCH = dict(embed_dims=DIMS, depths=DEPTHS, num_heads=HEADS)


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """What all libraries save, made by one process."""
    for library in ('timm', 'torchvision', 'mmpretrain'):
        if not (PEERS / library).is_dir():
            pytest.skip(f'no {library} in {PEERS}, where tools/setup.sh installs it')
    target = tmp_path_factory.mktemp('peers')
    environment = os.environ | dict(PYTHONPATH=os.pathsep.join([str(PEERS), *sys.path]))
    command = [sys.executable, '-W', 'ignore', str(SUPPORT / 'peers_v1.py'), str(target)]
    result = subprocess.run(command, env=environment, text=True, capture_output=True)
    assert result.returncode == 0, result.stderr[-3000:]
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
