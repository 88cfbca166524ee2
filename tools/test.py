"""Test a model of any task: python tools/test.py CONFIG CKPT [--help]."""

import sys
from importlib.util import find_spec
from pathlib import Path
from runpy import run_path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # of a checkout that is not installed

if __name__ == '__main__':
    (package,) = find_spec('swinv2_dense').submodule_search_locations
    run_path(f'{package}/cli/launch.py')['launch']('test')
