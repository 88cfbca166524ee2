"""Train a small classifier on generated scenes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models import SwinTransformerV2
from ..models.bias_table import BiasTable
from .scenes import NUM_CLASSES, Scenes, draw_scenes, render

PATCH = 8
TEST_SEED, TEST_SCENES = 10**6, 256  # of the test set, which is the same for all runs
# A step of AdamW moves a parameter by about the learning rate. In a few hundred steps that is less
# than biases need, whereas an MLP of CPB multiplies its weights.
TABLE_LR = 50


class Classifier(nn.Module):
    """A backbone with one output, averaged over positions, and a linear layer."""

    def __init__(self, arch: dict, window_size: int, **settings: Any) -> None:
        super().__init__()
        last = len(arch['depths']) - 1
        self.backbone = SwinTransformerV2(
            arch,
            patch_size=PATCH,
            window_size=window_size,
            out_indices=[last],
            drop_path_rate=0.0,
            **settings,
        )
        self.head = nn.Linear(self.backbone.out_channels[0], NUM_CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Scores (B, classes)."""
        return self.head(self.backbone(images)[0].mean((2, 3)))


def train(
    model: nn.Module, size: int, steps: int, lr: float, seed: int, batch: int = 32
) -> Iterator[float]:
    """The loss of every step: AdamW, a warm-up over a tenth of the steps, then a cosine.

    Bias tables learn `TABLE_LR` times as fast, without weight decay.
    """
    generator = torch.Generator().manual_seed(seed)
    tables = [p for name, p in model.named_parameters() if BiasTable.key in name]
    others = [p for name, p in model.named_parameters() if BiasTable.key not in name]
    groups = [dict(params=others), dict(params=tables, lr=TABLE_LR * lr, weight_decay=0.0)]
    optimizer = torch.optim.AdamW(groups, lr=lr, weight_decay=0.05)
    warm_up = max(1, steps // 10)
    schedule = torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, total_iters=warm_up),
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps - warm_up)),
        ],
        [warm_up],
    )
    model.train()
    for _ in range(steps):
        scenes = draw_scenes(batch, generator)
        loss = F.cross_entropy(model(render(scenes, size, generator)), scenes.labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        yield loss.item()


def test_images(size: int, batch: int = 64) -> Iterator[tuple[Tensor, Tensor]]:
    """Images and labels of the test set, in batches."""
    generator = torch.Generator().manual_seed(TEST_SEED)
    scenes = draw_scenes(TEST_SCENES, generator)
    for centers, labels in zip(scenes.centers.split(batch), scenes.labels.split(batch)):
        yield render(Scenes(centers, labels), size, generator), labels


@torch.no_grad()
def accuracy(model: nn.Module, size: int) -> float:
    """Percent of the test set, rendered at `size` pixels."""
    model.eval()
    hits = sum((model(x).argmax(1) == y).sum().item() for x, y in test_images(size))
    return 100 * hits / TEST_SCENES


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Smallest, median and largest of a few values."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else sum(ordered[middle - 1 : middle + 1]) / 2
    return ordered[0], median, ordered[-1]
