"""Memory of testing: bounded by bands and windows, not by pixels times classes."""

from __future__ import annotations

import subprocess
import sys

import pytest
from commands import SUPPORT

pytest.importorskip('mmseg')

WORKER = SUPPORT / 'segmentor_memory.py'
CLASSES = 150


def peak(*args: object) -> int:
    """MiB above the model of testing one image of 150 classes, in a process of its own."""
    command = [sys.executable, '-W', 'ignore', str(WORKER), *map(str, args)]
    result = subprocess.run(command, text=True, capture_output=True, timeout=1800)
    assert result.returncode == 0, result.stderr[-2000:]
    return int(result.stdout.split()[-2])


def full_map(size: int) -> float:
    """MiB of the logits of all classes at full size, of which mmseg holds at least two."""
    return size * size * CLASSES * 4 / 2**20


@pytest.mark.slow
def test_an_image_takes_less_than_one_map_of_its_logits():
    assert peak('TiledEncoderDecoder', 'slide', 1024) < full_map(1024)
    assert peak('EncoderDecoder', 'slide', 1024) > 2 * full_map(1024)


@pytest.mark.slow
def test_four_views_take_little_more():
    """mmseg's four views take four maps and more, 2400 MiB."""
    assert peak('TiledEncoderDecoder', 'slide', 1024, 4) < 2 * full_map(1024)


@pytest.mark.slow
@pytest.mark.parametrize('mode, most', [('slide', 1500), ('whole', 3000)])
def test_an_image_of_4096(mode, most):
    """One map of its logits alone is 9600 MiB."""
    assert peak('TiledEncoderDecoder', mode, 4096) < most
