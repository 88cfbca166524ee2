"""Videos are read as players show them, and written as H.264."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from clips import turn, write_sound
from narrow_recognizer import write_clip

from swinv2_dense.drawing.video import write_video
from swinv2_dense.inference.video_files import UnreadableError, frame_rate, read_frames


def test_frames_are_read_as_players_show_them(tmp_path):
    frames = np.zeros((2, 48, 64, 3), np.uint8)
    frames[:, :24] = 200  # the upper half
    write_clip(tmp_path / 'a.mp4', frames)
    turn(tmp_path / 'a.mp4', 90)  # clockwise: the upper half becomes the right one
    first, _ = read_frames(tmp_path / 'a.mp4')
    assert first.shape == (64, 48, 3)
    assert first[:, 28:].min() > 150 and first[:, :20].max() < 50


def test_odd_sides_are_padded(tmp_path):
    frames = np.full((2, 47, 63, 3), 200, np.uint8)
    write_video(tmp_path / 'a.mp4', iter(frames), Fraction(30000, 1001))
    first, _ = read_frames(tmp_path / 'a.mp4')
    assert first.shape == (48, 64, 3) and first.min() > 190
    assert frame_rate(tmp_path / 'a.mp4') == Fraction(30000, 1001)


def test_files_without_frames(tmp_path):
    with pytest.raises(UnreadableError):
        next(read_frames(write_sound(tmp_path / 'sound.mp4')))
    with pytest.raises(ValueError, match='no frame'):
        write_video(tmp_path / 'a.mp4', [])
