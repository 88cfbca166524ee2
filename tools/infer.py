"""Predict for images and videos: python tools/infer.py CONFIG CHECKPOINT INPUT... [--help]."""

from swinv2_dense.engine.command_line import run
from swinv2_dense.engine.infer import infer

if __name__ == '__main__':
    run(infer)
