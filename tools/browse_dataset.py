"""Draw augmented samples of a data set: python tools/browse_dataset.py CONFIG [--help]."""

from swinv2_dense.engine.browse import browse
from swinv2_dense.engine.command_line import run

if __name__ == '__main__':
    run(browse)
