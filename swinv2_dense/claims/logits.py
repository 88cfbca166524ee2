"""Claim of section 3.2: with dot products, few pairs of pixels dominate attention.

With cosines, logits stay mild.

The paper states it of large models with res-post-norm, and that cosine attention makes training
insensitive to amplitudes. Here: the largest logit per head (without the bias) after training, and
the spikes of the loss, at a usual and at a high learning rate.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ..models.similarity import SIMILARITIES
from ..models.window_attention import WindowAttention
from .training import Classifier, test_images, train

CLAIM = 'With dot products, logits are larger and losses spike more at a high learning rate.'
ARCH = dict(embed_dims=48, depths=(4,), num_heads=(3,))
SIZE, WINDOW = 64, 8
LRS = (2e-3, 2e-2)
STEPS = 200
SPIKE, HISTORY = 1.5, 20  # a spike exceeds the median of the last steps by this factor


@torch.no_grad()
def largest_logits(model: Classifier) -> list[float]:
    """Largest absolute product of a query and a key with its scale, per head of all blocks."""
    found: list[float] = []

    def measure(attn: WindowAttention, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        x = inputs[0].flatten(1, -2)  # the window is the map
        qkv = x @ attn.qkv.weight.T + attn.qkv_bias()
        heads = qkv.unflatten(-1, (3, attn.num_heads, -1)).permute(2, 0, 3, 1, 4)
        vectors = SIMILARITIES[attn.similarity]().vectors
        logits = vectors(heads[0]) * attn.scale(x) @ vectors(heads[1]).mT
        found.extend(logits.abs().amax((0, 2, 3)).tolist())

    handles = [
        module.register_forward_hook(measure)
        for module in model.modules()
        if isinstance(module, WindowAttention)
    ]
    images, _ = next(test_images(SIZE))
    model.eval()(images)
    for handle in handles:
        handle.remove()
    return found


def spikes(losses: Sequence[float]) -> int:
    """Steps whose loss is not finite or far above the median of the steps before."""
    count = 0
    for i in range(HISTORY, len(losses)):
        usual = statistics.median(losses[i - HISTORY : i])
        count += not losses[i] <= SPIKE * usual
    return count


def run(seed: int, steps: int = STEPS) -> Iterator[dict[str, Any]]:
    """Rows of a seed: logits, spikes and the last loss, per product and learning rate."""
    for similarity in ('cosine', 'dot'):
        for lr in LRS:
            torch.manual_seed(seed)
            model = Classifier(ARCH, WINDOW, similarity=similarity)
            losses = list(train(model, SIZE, steps, lr, seed))
            logits = largest_logits(model)
            yield {
                'similarity': similarity,
                'lr': lr,
                'largest logit': max(logits),
                'median over heads': statistics.median(logits),
                'spikes': spikes(losses),
                'last loss': statistics.fmean(losses[-HISTORY:]),
            }


KEYS = ('similarity', 'lr')
VALUES = ('largest logit', 'median over heads', 'spikes', 'last loss')
PLOT = dict(x='lr', y='largest logit', label='similarity')
