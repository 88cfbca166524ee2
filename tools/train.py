"""Train a detector, segmentor or video recognizer: python tools/train.py CONFIG [--help]."""

from swinv2_dense.engine.command_line import run, train

if __name__ == '__main__':
    run(train)
