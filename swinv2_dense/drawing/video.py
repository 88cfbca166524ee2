"""Write frames as an H.264 video."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def write_video(
    path: Path,
    frames: Iterable[np.ndarray],
    rate: Fraction | int = 25,
    options: Mapping[str, str] | None = None,
    channels: str = 'rgb24',
) -> None:
    """Write frames (H, W, 3) uint8 of one size, one at a time.

    H.264 needs even sides: of odd ones the last row or column is repeated.

    Args:
        path: Its suffix names the container.
        frames: At least one.
        rate: Frames per second.
        options: Of the encoder, x264.
        channels: Their order in the frames, rgb24 or bgr24.

    Raises:
        ValueError: There is no frame.
    """
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError('no frame')
    odd = [(0, side % 2) for side in first.shape[:2]]
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=rate, options=dict(options or {}))
        stream.pix_fmt = 'yuv420p'
        stream.height, stream.width = (side + extra for side, (_, extra) in zip(first.shape, odd))
        for frame in itertools.chain([first], frames):
            pixels = np.pad(frame, [*odd, (0, 0)], mode='edge')
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format=channels)))
        container.mux(stream.encode())
