"""Augmentation against timm itself, where tools/setup.sh has installed it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import SUPPORT

PEERS = Path(os.environ.get('SWINV2_DENSE_PEERS') or Path(sys.prefix) / 'peers')


@pytest.mark.slow
@pytest.mark.skipif(not (PEERS / 'timm').is_dir(), reason=f'no timm in {PEERS}')
def test_mixing_and_rand_augment_are_timms() -> None:
    """Of 100 batches the images, targets and losses; of all operations every pixel."""
    environment = os.environ | dict(PYTHONPATH=os.pathsep.join([str(PEERS), *sys.path]))
    command = [sys.executable, '-W', 'ignore', str(SUPPORT / 'timm_augment.py')]
    result = subprocess.run(command, env=environment, text=True, capture_output=True)
    assert result.returncode == 0, result.stderr[-3000:]
    found = json.loads(result.stdout.splitlines()[-1])
    assert found['operations'] == 0
    assert found['mixing'] < 2e-6
