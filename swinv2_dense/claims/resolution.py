"""Claim of Table 1: log-CPB transfers to larger windows and images better than the others.

The paper trains SwinV2-T at 256 pixels and window 8, and tests it at up to 768 pixels and window
24, without and with fine-tuning. Without, the table falls from 81.7 to 68.7, linear CPB to 77.6,
log-CPB from 81.8 to 79.1; with fine-tuning all rise, log-CPB most. Here, the same ratios of window
to image and of test to training size, on generated scenes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from .training import Classifier, accuracy, train

CLAIM = 'Without fine-tuning, accuracy falls least with log-CPB, then linear CPB, then a table.'
ARCH = dict(embed_dims=48, depths=(4,), num_heads=(3,))
SIZE, WINDOW = 64, 8
SCALES = (1.0, 1.5, 2.0, 3.0)  # of the paper's 256, 384, 512 and 768 pixels
BIASES = ('log', 'linear', 'table')
FINE_TUNING = 10  # steps of training per step of fine-tuning
STEPS, LR = 300, 2e-3


def run(seed: int, steps: int = STEPS) -> Iterator[dict[str, Any]]:
    """Rows of a seed: accuracy without and with fine-tuning, per bias and size."""
    for bias in BIASES:
        torch.manual_seed(seed)
        model = Classifier(ARCH, WINDOW, position_bias=bias)
        *_, loss = train(model, SIZE, steps, LR, seed)
        for scale in SCALES:
            size, window = round(SIZE * scale), round(WINDOW * scale)
            larger = Classifier(ARCH, window, position_bias=bias)
            larger.load_state_dict(model.state_dict())  # the bias moves to the window
            row = dict(bias=bias, size=size, window=window, loss=loss)
            row['accuracy'] = accuracy(larger, size)
            if scale > 1:
                for _ in train(larger, size, max(1, steps // FINE_TUNING), LR / 10, seed + 1):
                    pass
            row['fine-tuned'] = accuracy(larger, size)
            yield row


KEYS = ('bias', 'size', 'window')
VALUES = ('accuracy', 'fine-tuned')
PLOT = dict(x='size', y='accuracy', label='bias')
