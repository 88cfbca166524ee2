"""Augmentation against timm itself, where tools/setup.sh has installed it."""

from __future__ import annotations

import json

import pytest
from peer_process import run_with_peers


@pytest.mark.slow
def test_mixing_and_rand_augment_are_timms() -> None:
    """Of 100 batches the images, targets and losses; of all operations every pixel."""
    printed = run_with_peers('timm_augment.py', ['timm'])
    found = json.loads(printed.splitlines()[-1])
    assert found['operations'] == 0
    assert found['mixing'] < 2e-6
