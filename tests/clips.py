"""Small videos that tests write: h264 by PyAV, whole and broken."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

TURNS = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}  # clockwise: a, b, c, d


def write_clip(
    path: Path,
    num_frames: int = 12,
    size: tuple[int, int] = (48, 64),
    times: Sequence[int] | None = None,
    codec: str = 'h264',
    options: dict | None = None,
) -> Path:
    """A bar that moves right over a green upper half.

    Args:
        path: Its ending names the container.
        num_frames: Number of frames.
        size: Pixels, H and W.
        times: Of each frame, in hundredths of a second (default: ten frames in a second).
        codec: Of FFmpeg.
        options: Of the container.
    """
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = size
    with av.open(str(path), 'w', options=options or {}) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = width, height, 'yuv420p'
        stream.codec_context.time_base = Fraction(1, 100)
        for i in range(num_frames):
            pixels = np.zeros((height, width, 3), np.uint8)
            pixels[: height // 2, :, 1] = 200
            pixels[:, 3 * i : 3 * i + 12, 2] = 180
            frame = av.VideoFrame.from_ndarray(pixels, format='rgb24')
            frame.pts = times[i] if times else 10 * i
            frame.time_base = Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_sound(path: Path) -> Path:
    """Half a second of silence without pictures."""
    import av

    with av.open(str(path), 'w') as container:
        stream = container.add_stream('aac', rate=44100)
        for i in range(20):
            silence = np.zeros((1, 1024), np.float32)
            frame = av.AudioFrame.from_ndarray(silence, format='fltp', layout='mono')
            frame.rate, frame.pts = 44100, 1024 * i
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_cut(path: Path, kept: float = 0.5) -> Path:
    """An mp4 whose index is whole, but whose frames end early, as after a broken download."""
    write_clip(path, 40, (96, 128), options={'movflags': 'faststart'})
    data = path.read_bytes()
    start = data.index(b'mdat')  # after the index
    path.write_bytes(data[: start + round(kept * (len(data) - start))])
    return path


def turn(path: Path, degrees: int) -> Path:
    """Set the turn with which an mp4 is to be shown, clockwise, as phones write it."""
    data = bytearray(path.read_bytes())
    a, b, c, d = (value << 16 for value in TURNS[degrees])
    start = data.index(b'tkhd') + 44  # the matrix of the track header, ISO 14496-12
    data[start : start + 36] = struct.pack('>9i', a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path
