"""Compare what an exported file computes with the model that it was exported from."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from ..errors import ConfigError

# Largest relative difference to eager fp32, by the dtype of the weights.
TOLERANCES = {'fp32': 1e-3, 'fp16': 1e-2, 'bf16': 5e-2, 'int8': 0.2}


@dataclass(frozen=True)
class Proof:
    """Largest differences by quantity, and seconds per input."""

    differences: Mapping[str, float]
    tolerance: float
    seconds: float
    eager_seconds: float

    @property
    def holds(self) -> bool:
        """Whether all differences are within the tolerance; NaN is not."""
        return all(value <= self.tolerance for value in self.differences.values())

    def __str__(self) -> str:
        largest = ', '.join(f'{name} {value:.1e}' for name, value in self.differences.items())
        return (
            f'largest difference to eager: {largest} (tolerance {self.tolerance:g}); '
            f'{self.seconds:.3f} s, eager {self.eager_seconds:.3f} s on the CPU'
        )


def timed(run: Callable[[], Any]) -> tuple[Any, float]:
    """A result, and the least seconds of a few runs; the first one only fills caches."""
    with torch.no_grad():
        result, seconds = run(), []
        while len(seconds) < 5 and sum(seconds) < 2:
            start = time.perf_counter()
            result = run()
            seconds.append(time.perf_counter() - start)
    return result, min(seconds)


def relative_difference(expected: Tensor, found: Tensor) -> float:
    """Largest difference, relative to the largest value; inf for another shape.

    Of integers, the fraction of values that differ.
    """
    if expected.shape != found.shape:
        return float('inf')
    if not expected.numel():
        return 0.0
    if not expected.is_floating_point():
        return float((expected != found).double().mean())
    scale = expected.double().abs().max().clamp(min=1e-6)
    return float((expected.double() - found.double()).abs().max() / scale)


def score_differences(expected: Tensor, found: Tensor) -> dict[str, float]:
    """Of all scores (N,), and whether the best class is another one."""
    other = expected.argmax() != found.argmax()
    return dict(scores=float((expected - found).abs().max()), best_class=float(other))


def map_differences(
    names: Sequence[str], expected: Sequence[Tensor], found: Mapping[str, Tensor]
) -> dict[str, float]:
    """`relative_difference` by the name of an output."""
    return {name: relative_difference(tensor, found[name]) for name, tensor in zip(names, expected)}


def proof_image(path: Path | None, size: Sequence[int], channels: int) -> Tensor:
    """An image (C, H, W) or clip (C, T, H, W) in uint8, as decoded (BGR); a file is stretched.

    Args:
        path: Of an image; None: a smooth generated one.
        size: ((T,) H, W).
        channels: C.

    Raises:
        ConfigError: The file is not an image.
    """
    *frames, height, width = size
    if path is None:
        generator = np.random.default_rng(0)
        coarse = generator.integers(0, 256, (7, 9, channels)).astype(np.float32)
        image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        image = image.reshape(height, width, channels)
    else:
        image = cv2.imread(str(path))
        if image is None:
            raise ConfigError(f'--image={str(path)!r} is not an image that OpenCV reads')
        image = cv2.resize(image, (width, height))
    pixels = torch.from_numpy(image.clip(0, 255).astype(np.uint8)).permute(2, 0, 1).contiguous()
    if not frames:
        return pixels
    return torch.stack([pixels.roll(shift, dims=2) for shift in range(frames[0])], dim=1)
