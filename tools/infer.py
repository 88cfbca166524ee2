"""Predict for images and videos: python tools/infer.py CONFIG CHECKPOINT INPUT... [--help]."""

import sys

try:
    from swinv2_dense.engine.command_line import run
    from swinv2_dense.engine.infer import infer
except KeyboardInterrupt:  # torch takes seconds to import
    print('interrupted', file=sys.stderr)
    sys.exit(130)

if __name__ == '__main__':
    run(infer)
