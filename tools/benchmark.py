"""Time and memory of the backbones, beside other libraries: python tools/benchmark.py [--help]."""

from pathlib import Path
from runpy import run_path

LAUNCH = Path(__file__).resolve().parents[1] / 'swinv2_dense/cli/launch.py'

if __name__ == '__main__':
    run_path(str(LAUNCH))['launch']('benchmark')
