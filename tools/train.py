"""Train a detector, segmentor or video recognizer: python tools/train.py CONFIG [--help]."""

import sys
from pathlib import Path
from runpy import run_path

HELP = Path(__file__).resolve().parents[1] / 'swinv2_dense/cli/help.py'
if HELP.is_file():  # before the imports below, which take seconds
    run_path(str(HELP), run_name='train')

try:
    from swinv2_dense.cli.common import run
    from swinv2_dense.cli.train import train
except KeyboardInterrupt:  # torch takes seconds to import
    print('interrupted', file=sys.stderr)
    sys.exit(130)

if __name__ == '__main__':
    run(train)
