"""Draw augmented samples of a dataset: python tools/browse_dataset.py CONFIG [--help]."""

from pathlib import Path
from runpy import run_path

HELP = Path(__file__).resolve().parents[1] / 'swinv2_dense/cli/help.py'
if HELP.is_file():  # before the imports below, which take seconds
    run_path(str(HELP), run_name='browse_dataset')

from swinv2_dense.cli.browse_dataset import browse
from swinv2_dense.cli.common import run

if __name__ == '__main__':
    run(browse)
