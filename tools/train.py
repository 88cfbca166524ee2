"""Train a detector, segmentor or video recognizer: python tools/train.py CONFIG [--help]."""

import sys

try:
    from swinv2_dense.engine.command_line import run, train
except KeyboardInterrupt:  # torch takes seconds to import
    print('interrupted', file=sys.stderr)
    sys.exit(130)

if __name__ == '__main__':
    run(train)
