"""Generated images whose class depends on where two blobs are relative to each other.

Appearance alone says nothing about the class, so a model has to compare positions. A scene is a set
of coordinates in units of the image side; it can be rendered at any resolution. So can its noise,
a function of the coordinates that larger images sample more finely. Noise drawn per pixel would
average out over the blobs of larger images, and make them easier.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

NUM_CLASSES = 8  # directions from the red to the green blob, in sectors of 45 degrees
RADIUS, NOISE = 0.07, 0.3
MIN_DISTANCE = 0.2  # between the blobs
MARGIN = 0.1  # between blobs and border
WAVES = 64  # frequencies of the noise per axis: -32 to 31 periods per image, white at 64 pixels


class Scenes(NamedTuple):
    """Centers of the red and the green blob, (N, 2, 2) as (y, x) in 0..1, and labels (N,)."""

    centers: Tensor
    labels: Tensor


def draw_scenes(count: int, generator: torch.Generator) -> Scenes:
    """Random scenes, uniform in position."""
    kept: list[Tensor] = []
    while sum(map(len, kept)) < count:
        centers = MARGIN + (1 - 2 * MARGIN) * torch.rand(2 * count, 2, 2, generator=generator)
        kept.append(centers[(centers[:, 1] - centers[:, 0]).norm(dim=-1) > MIN_DISTANCE])
    centers = torch.cat(kept)[:count]
    offsets = centers[:, 1] - centers[:, 0]
    angles = torch.atan2(offsets[:, 0], offsets[:, 1]) % (2 * math.pi)
    return Scenes(centers, (angles / (2 * math.pi) * NUM_CLASSES).long() % NUM_CLASSES)


def render(scenes: Scenes, size: int, generator: torch.Generator) -> Tensor:
    """Images (N, 3, size, size) with noise; both grow with the image."""
    pixels = (torch.arange(size) + 0.5) / size
    y, x = scenes.centers[..., 0, None], scenes.centers[..., 1, None]
    squares = (pixels - y)[..., None].square() + (pixels - x)[..., None, :].square()
    blobs = torch.exp(-squares / (2 * RADIUS**2))  # (N, 2, size, size)
    images = torch.cat([blobs, torch.zeros_like(blobs[:, :1])], dim=1)
    return images + NOISE * _noise(len(images), pixels, generator)


def _noise(count: int, pixels: Tensor, generator: torch.Generator) -> Tensor:
    """(N, 3, size, size) of variance 1: a sum of waves with random amplitudes and phases.

    The same numbers are drawn for every size. The real part of a complex amplitude of variance 1
    has half of that.
    """
    amplitudes = torch.randn(count, 3, WAVES, WAVES, dtype=torch.complex64, generator=generator)
    phases = 2 * math.pi * pixels[:, None] * torch.arange(-(WAVES // 2), WAVES // 2)
    waves = torch.polar(torch.ones_like(phases), phases)  # (size, WAVES)
    return (waves @ amplitudes @ waves.T).real * (math.sqrt(2) / WAVES)
