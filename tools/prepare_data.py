"""Unpack the archives of a dataset and check it: python tools/prepare_data.py DATASET [--help]."""

from pathlib import Path
from runpy import run_path

LAUNCH = Path(__file__).resolve().parents[1] / 'swinv2_dense/cli/launch.py'

if __name__ == '__main__':
    run_path(str(LAUNCH))['launch']('prepare_data')
