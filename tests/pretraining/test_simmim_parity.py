"""SimMIM against transformers' `Swinv2ForMaskedImageModeling` with the same weights.

Both compute the official model. transformers has the loss of the first SimMIM, on pixels that are
not normalized. Its window comes from the size of the image, so it divides every map here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement
from tiny_models import randomized
from torch.testing import assert_close

from swinv2_dense.pretraining import RandomUnitMask, SimMIM

transformers = pytest.importorskip('transformers')
SIZE, WINDOW = 128, 4
ARCH = dict(embed_dims=24, depths=(2, 2, 2, 2), num_heads=(2, 3, 4, 8))


def test_reconstruction_and_loss_are_those_of_transformers(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.Swinv2Config(
        image_size=SIZE,
        embed_dim=ARCH['embed_dims'],
        depths=list(ARCH['depths']),
        num_heads=list(ARCH['num_heads']),
        window_size=WINDOW,
        drop_path_rate=0.0,
        encoder_stride=32,
    )
    theirs = randomized(transformers.Swinv2ForMaskedImageModeling(config)).eval()
    theirs.save_pretrained(tmp_path)
    backbone = dict(type='SwinTransformerV2', arch=ARCH, window_size=WINDOW, drop_path_rate=0.0)
    checkpoint = dict(type='Pretrained', checkpoint=str(tmp_path / 'model.safetensors'))
    ours = SimMIM(backbone, normalize_targets=False, init_cfg=checkpoint).eval()
    ours.init_weights()
    image = torch.randn(2, 3, SIZE, SIZE)
    rng = np.random.RandomState(0)
    units = torch.tensor(np.stack([RandomUnitMask().draw((4, 4), rng) for _ in image]))
    samples = []
    for mask in units:
        samples.append(BaseDataElement())
        samples[-1].set_field(mask, 'mask')
    patches = units.repeat_interleave(8, 1).repeat_interleave(8, 2).flatten(1).bool()
    expected = theirs(image, bool_masked_pos=patches)
    assert expected.reconstruction.std() > 0.1
    assert_close(ours(image, samples), expected.reconstruction, atol=1e-5, rtol=1e-5)
    loss = ours(image, samples, mode='loss')['loss']
    assert_close(loss, expected.loss, atol=1e-6, rtol=1e-5)
