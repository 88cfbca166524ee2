"""Claim of Figure 2: with pre-norm, activations grow over depth, more so in larger models.

With res-post-norm they stay mild. The paper shows the amplitude of features of trained models of
several sizes. Here: the root mean square of the main branch after each block, for the widths of T,
S, B and L (divided by 4) and the depths of S to L, at initialization and after training. At
initialization, blocks with res-post-norm are identities, because their norms start at zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from .training import Classifier, test_images, train

CLAIM = 'Pre-norm: amplitudes grow with depth and size. Res-post-norm: they stay much smaller.'
ARCHS = {  # a quarter of the channels of the paper's; heads have 24 to 32 channels as there
    'T/4': dict(embed_dims=24, depths=(2, 2, 6, 2), num_heads=(1, 2, 3, 6)),
    'S/4': dict(embed_dims=24, depths=(2, 2, 18, 2), num_heads=(1, 2, 3, 6)),
    'B/4': dict(embed_dims=32, depths=(2, 2, 18, 2), num_heads=(1, 2, 4, 8)),
    'L/4': dict(embed_dims=48, depths=(2, 2, 18, 2), num_heads=(2, 3, 6, 12)),
}
BLOCKS = {'res-post-norm': 'post-norm', 'pre-norm': 'pre-norm'}  # and their patch merging
SIZE, WINDOW = 128, 8
STEPS, LR = 100, 1e-3


@torch.no_grad()
def amplitudes(model: Classifier) -> list[float]:
    """Root mean square of the main branch after each block, on some test images."""
    found: list[float] = []
    handles = [
        block.register_forward_hook(lambda *args: found.append(args[2].square().mean().item()))
        for stage in model.backbone.layers
        for block in stage.blocks
    ]
    images, _ = next(test_images(SIZE, batch=16))
    model.eval()(images)
    for handle in handles:
        handle.remove()
    return [value**0.5 for value in found]


def run(seed: int, steps: int = STEPS) -> Iterator[dict[str, Any]]:
    """Rows of a seed: the amplitude per size, block and depth, before and after training."""
    for name, arch in ARCHS.items():
        for block, merging in BLOCKS.items():
            torch.manual_seed(seed)
            model = Classifier(arch, WINDOW, block=block, patch_merging=merging)
            before = amplitudes(model)
            for _ in train(model, SIZE, steps, LR, seed, batch=8):
                pass
            after = amplitudes(model)
            for depth in range(len(before)):
                yield dict(
                    block=block,
                    arch=name,
                    depth=depth + 1,
                    initial=before[depth],
                    trained=after[depth],
                )


KEYS = ('arch', 'block', 'depth')
VALUES = ('initial', 'trained')
PLOT = dict(x='depth', y='trained', label='block', panel='arch')
