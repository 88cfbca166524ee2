"""Checkpoints made and saved by timm, torchvision and mmpretrain themselves (peers.py).

Skipped where they are not installed. test_formats.py proves the same layouts from their key
maps, and transformers' in the same way as here.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peer_process import run_with_peers
from peers import CLASSES, DEPTHS, DIMS, HEADS, PRETRAINED_WINDOWS, WINDOW
from torch.testing import assert_close
from unnormalized import Unnormalized

from swinv2_dense import SwinTransformerV2
from swinv2_dense.checkpoints.loading import load_pretrained
from swinv2_dense.classification import ImageClassifier


def made_by(library: str, folder: Path) -> list[torch.Tensor]:
    """An image, its maps and its logits, by the library; its file is folder/model.pth."""
    run_with_peers('peers.py', [library], library, folder)
    return torch.load(folder / 'features.pth', weights_only=True)


@pytest.mark.parametrize(
    'library, pretrained_windows',
    [('timm', None), ('torchvision', (4, 4, 4, 4)), ('mmpretrain', PRETRAINED_WINDOWS)],
)
def test_models_of_other_libraries(
    tmp_path: Path, library: str, pretrained_windows: tuple | None
) -> None:
    """Where conventions agree: windows divide the maps, or are clamped to the map (stage 4).

    timm's files lack the pretrained windows. mmpretrain's maps pass its output norms, which load.
    """
    image, *expected, logits = made_by(library, tmp_path)
    arch = dict(embed_dims=DIMS, depths=DEPTHS, num_heads=HEADS)
    if library == 'mmpretrain':
        arch['extra_norm_every'] = 2
    given = {} if pretrained_windows else dict(pretrained_window_sizes=list(PRETRAINED_WINDOWS))
    model = SwinTransformerV2(arch, window_size=WINDOW, **given)
    report = load_pretrained(model, str(tmp_path / 'model.pth'))
    assert report.format.startswith(library)
    assert report.missing == report.unexpected == []
    assert model.pretrained_window_sizes == [
        (w, w) for w in pretrained_windows or PRETRAINED_WINDOWS
    ]
    model.eval()
    with torch.no_grad():
        maps = model(image) if library == 'mmpretrain' else Unnormalized(model)(image)
    assert len(maps) == len(expected) == 4
    for found, reference in zip(maps, expected):
        assert_close(found, reference, atol=1e-5, rtol=1e-5)

    classifier = ImageClassifier(
        dict(type='SwinTransformerV2', arch=arch, window_size=WINDOW, out_indices=(3,), **given),
        dict(type='LinearHead', num_classes=CLASSES, in_channels=8 * DIMS),
        init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'model.pth')),
    )
    classifier.init_weights()
    with torch.no_grad():
        found = classifier.eval()(image)
    assert logits.shape == (1, CLASSES) and logits.std() > 0.1
    assert_close(found, logits, atol=1e-5, rtol=1e-5)
