"""What a training needs per GPU, from counts: python tools/plan.py CONFIG --gpus N [--help]."""

from pathlib import Path
from runpy import run_path

HELP = Path(__file__).resolve().parents[1] / 'swinv2_dense/cli/help.py'
if HELP.is_file():  # before the imports below, which take seconds
    run_path(str(HELP), run_name='plan')

from swinv2_dense.cli.common import run
from swinv2_dense.cli.plan import plan

if __name__ == '__main__':
    run(plan)
