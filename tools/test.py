"""Test a detector, segmentor or video recognizer: python tools/test.py CONFIG CKPT [--help]."""

import sys

try:
    from swinv2_dense.engine.command_line import run, test
except KeyboardInterrupt:  # torch takes seconds to import
    print('interrupted', file=sys.stderr)
    sys.exit(130)

if __name__ == '__main__':
    run(test)
