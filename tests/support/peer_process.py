"""Programs that use the other SwinV2 packages, which tools/setup.sh installs in a folder apart.

Apart, because torchvision changes what transformers and mmaction2 import.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from commands import SUPPORT

PEERS = Path(os.environ.get('SWINV2_DENSE_PEERS') or Path(sys.prefix) / 'peers')


def run_with_peers(program: str, libraries: Iterable[str], *arguments: object) -> str:
    """What a file of tests/support prints; skips the test where a library is not installed."""
    for library in libraries:
        if not (PEERS / library).is_dir():
            pytest.skip(f'no {library} in {PEERS}, where tools/setup.sh installs it')
    environment = os.environ | dict(PYTHONPATH=os.pathsep.join([str(PEERS), *sys.path]))
    command = [sys.executable, '-W', 'ignore', str(SUPPORT / program), *map(str, arguments)]
    result = subprocess.run(command, env=environment, text=True, capture_output=True)
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout
