"""One process of a training by the command line: `elastic_jobs.py CONFIG FOLDER [FLAGS]`."""

from __future__ import annotations

import sys

import torch
import torch.distributed as dist

from swinv2_dense.cli.common import run
from swinv2_dense.cli.train import main as train

if __name__ == '__main__':
    torch.set_num_threads(1)
    config, folder, *flags = sys.argv[1:]
    run(lambda: train([config, '--work-dir', folder, '--seed', '0', '--no-validate', *flags]))
    if dist.is_initialized():
        dist.destroy_process_group()
