"""Test a detector, segmentor or video recognizer: python tools/test.py CONFIG CKPT [--help]."""

from swinv2_dense.engine.command_line import run, test

if __name__ == '__main__':
    run(test)
