"""One process of test_start.py: `start_jobs.py RANK WORLD_SIZE FOLDER ADDRESS`.

Does what the processes of a run share when they start, and writes its results to FOLDER/RANK.json.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import torch
import torch.distributed as dist
from mmengine._strategy import DDPStrategy
from mmengine.config import Config
from sharded_training import Classifier  # noqa: F401  registers it
from torch.distributed.fsdp import FSDPModule

from swinv2_dense.checkpoints.sharded_tensors import own_part
from swinv2_dense.checks.files import check_files
from swinv2_dense.distributed.fsdp import ShardedStrategy
from swinv2_dense.distributed.zero import ZeroStrategy
from swinv2_dense.errors import CheckpointError, ConfigError
from swinv2_dense.resilience.atomic_checkpoints import resume_last, share_resume
from swinv2_dense.shared_errors import shared_errors

KINDS = ('ddp', 'zero1', 'fsdp')
CASES = ('there', 'there', 'missing', 'cut', 'wrong-00000000')  # cold, warm, and failures


def strategy(kind: str, folder: Path):
    work = dict(work_dir=str(folder / 'work'))
    if kind == 'fsdp':
        return ShardedStrategy(**work)
    wrapper = dict(type='DeviceAgnosticDDP', broadcast_buffers=False)
    return dict(ddp=DDPStrategy, zero1=ZeroStrategy)[kind](model_wrapper=wrapper, **work)


def weight(model: torch.nn.Module) -> float:
    """The sum of all parameters, which FSDP may have sharded."""
    parts = [own_part(param.detach()) for param in model.parameters()]
    total = sum(part.double().sum() for part in parts)
    if isinstance(model, FSDPModule):
        dist.all_reduce(total)
    return round(float(total), 3)


def prepare_models(rank: int, folder: Path, address: str) -> list[float | str]:
    """Per case, the sum of the weights of a model whose backbone comes from a URL, or the error."""
    found = []
    for kind in KINDS:
        for case in CASES:
            url = f'{address}/{kind}-{case}.pth'
            model = dict(type='Classifier', num_classes=3, pretrained=url)
            dist.barrier()
            torch.manual_seed(rank)
            try:
                prepared = strategy(kind, folder).prepare(model)
            except ValueError as error:
                found.append(f'{type(error).__name__}: {error}')
            else:
                found.append(weight(prepared[0] if isinstance(prepared, tuple) else prepared))
    return found


class Files(list):
    """A dataset of paths."""

    def get_data_info(self, index: int) -> dict:
        return dict(img_path=self[index])


def look_for_files(folder: Path) -> dict:
    """File system calls while FOLDER/images is checked, and the error for missing files."""
    calls = Counter()

    def counting(name: str, function: Callable) -> Callable:
        def call(*args, **kwargs):
            calls[name] += 1
            return function(*args, **kwargs)

        return call

    paths = sorted(map(str, folder.glob('images/*/*')))
    originals = os.stat, os.lstat, os.scandir
    os.stat, os.lstat = (counting('stat', function) for function in originals[:2])
    os.scandir = counting('scandir', os.scandir)
    check_files('train_dataloader', Files(paths))
    os.stat, os.lstat, os.scandir = originals
    gone = [path.replace('0.jpg', 'x.jpg') for path in paths]
    return dict(calls=calls, errors=error_of(lambda: check_files('train_dataloader', Files(gone))))


def error_of(function: Callable) -> str:
    try:
        function()
    except Exception as error:
        return f'{type(error).__name__}: {error}'
    return ''


def fail_alone(rank: int) -> list[str]:
    """Errors that only the last process has."""

    def fail(error: Exception) -> None:
        with shared_errors():
            if rank == dist.get_world_size() - 1:
                raise error

    errors = (ConfigError('key=1 is wrong'), CheckpointError('no file'), OSError('disk is full'))
    return [error_of(lambda error=error: fail(error)) for error in errors]


def resume(rank: int, folder: Path) -> list:
    """What this process resumes if only the first sees the checkpoint, and the reverse."""
    found = []
    for seeing in (True, False):
        work_dir = folder / f'seen_{rank}_{seeing}'
        work_dir.mkdir()
        if (rank == 0) is seeing:
            torch.save({}, work_dir / 'epoch_1.pth')
        cfg = Config(dict(work_dir=str(work_dir), load_from=None))
        resume_last(cfg)
        runner = SimpleNamespace(_resume=cfg.resume, _load_from=cfg.load_from)
        share_resume(runner)
        found.append([runner._resume, runner._load_from])
    return found


def main(rank: int, size: int, folder: Path, address: str) -> None:
    store = f'file://{folder / "store"}'
    dist.init_process_group('gloo', init_method=store, rank=rank, world_size=size)
    os.environ['LOCAL_RANK'] = str(rank)
    torch.set_num_threads(1)
    found = dict(
        files=look_for_files(folder),
        alone=fail_alone(rank),
        resumed=resume(rank, folder),
        models=prepare_models(rank, folder, address),
    )
    (folder / f'{rank}.json').write_text(json.dumps(found))
    dist.destroy_process_group()


if __name__ == '__main__':
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
