"""Read videos frame by frame. Frames are (H, W, 3) uint8 RGB."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np

from ..own_data.class_folders import VIDEO_SUFFIXES
from ..preparation.video_frames import iter_frames, open_video
from ..resilience.unreadable_samples import NOT_SAMPLE_ERRORS


class UnreadableError(ValueError):
    """An input that cannot be read; the message says why, without the name of the file."""


@contextmanager
def reading() -> Iterator[None]:
    """Turn errors into `UnreadableError`: damaged files raise almost anything."""
    try:
        yield
    except (UnreadableError, *NOT_SAMPLE_ERRORS):
        raise
    except Exception as error:
        text = ' '.join(str(error).split()) or type(error).__name__
        raise UnreadableError(text[:200]) from error


def is_moving(path: Path) -> bool:
    """Whether a file is a video, by its suffix; a GIF is one if it has more than one frame."""
    suffix = path.suffix.lower()
    if suffix != '.gif':
        return suffix in VIDEO_SUFFIXES
    try:
        return len(list(itertools.islice(read_frames(path), 2))) > 1
    except UnreadableError:
        return False


def read_frames(path: Path) -> Iterator[np.ndarray]:
    """All frames of a video, rotated as in players.

    Raises:
        UnreadableError: The file is damaged, has no frames, or frames of too many pixels.
    """
    with reading():
        frame = None
        for frame in iter_frames(str(path)):
            yield frame
        if frame is None:
            raise UnreadableError('has no frames')


def frame_rate(path: Path) -> Fraction:
    """Mean number of frames per second of a video; 25 if its file does not say.

    Raises:
        UnreadableError: See `read_frames`.
    """
    with reading(), open_video(str(path)) as (_, stream):
        return stream.average_rate or Fraction(25)
