"""Read and write videos frame by frame, by PyAV. Frames are (H, W, 3) uint8 RGB."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from ..own_data.class_folders import VIDEO_SUFFIXES
from ..preparation.video_frames import iter_frames, open_video
from ..resilience.unreadable_samples import NOT_SAMPLE_ERRORS


class UnreadableError(ValueError):
    """An input that cannot be read; says why, without its name."""


@contextmanager
def reading() -> Iterator[None]:
    """Make errors an `UnreadableError`: damaged files raise almost anything."""
    try:
        yield
    except (UnreadableError, *NOT_SAMPLE_ERRORS):
        raise
    except Exception as error:
        text = ' '.join(str(error).split()) or type(error).__name__
        raise UnreadableError(text[:200]) from error


def is_moving(path: Path) -> bool:
    """Whether a file is taken for a video: by its suffix, a GIF if it has more than one frame."""
    suffix = path.suffix.lower()
    if suffix != '.gif':
        return suffix in VIDEO_SUFFIXES
    try:
        return len(list(itertools.islice(read_frames(path), 2))) > 1
    except UnreadableError:
        return False


def read_frames(path: Path) -> Iterator[np.ndarray]:
    """All frames of a video, turned as players turn them.

    Raises:
        UnreadableError: It is damaged, holds no pictures, or has frames of too many pixels.
    """
    with reading():
        yield from iter_frames(str(path))


def frame_rate(path: Path) -> Fraction:
    """Mean number of frames per second of a video; 25 where its file does not tell.

    Raises:
        UnreadableError: As `read_frames`.
    """
    with reading(), open_video(str(path)) as (_, stream):
        return stream.average_rate or Fraction(25)


def write_frames(path: Path, frames: Iterable[np.ndarray], rate: Fraction) -> None:
    """Write frames of one size as h264, which has even sides: the last row or column is repeated.

    Raises:
        UnreadableError: There is no frame.
    """
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise UnreadableError('no frame in it')
    odd = [(0, side % 2) for side in first.shape[:2]]
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=rate)
        stream.pix_fmt = 'yuv420p'
        stream.height, stream.width = (side + extra for side, (_, extra) in zip(first.shape, odd))
        for frame in itertools.chain([first], frames):
            padded = np.pad(frame, [*odd, (0, 0)], mode='edge')
            container.mux(stream.encode(av.VideoFrame.from_ndarray(padded, format='rgb24')))
        container.mux(stream.encode())
