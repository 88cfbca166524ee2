"""DINO, Mask2Former and Plain-DETR in two processes, through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from commands import SUPPORT
from contracts.detr import write_data
from detr_ranks import HEADS, STEPS, write_config
from forked import run_ranks, run_script
from launching import losses, records
from torch.testing import assert_close

pytest.importorskip('mmdet')
from swinv2_dense.checkpoints.reading import read_checkpoint_file  # noqa: E402
from swinv2_dense.distributed.parameters import unwrapped_name  # noqa: E402

JOBS = SUPPORT / 'detr_ranks.py'


@pytest.fixture(scope='module')
def tree(tmp_path_factory) -> Path:
    """Two images with two objects and one, so that their numbers must be averaged."""
    root = write_data(tmp_path_factory.mktemp('data') / 'coco')
    path = root / 'annotations/train.json'
    coco = json.loads(path.read_text())
    coco['annotations'].pop()
    path.write_text(json.dumps(coco))
    return root


def weights(folder: Path, name: str) -> dict[str, torch.Tensor]:
    state = read_checkpoint_file(folder / name / f'iter_{STEPS}.pth')['state_dict']
    return {unwrapped_name(key): value for key, value in state.items()}


def assert_moved_alike(folder: Path, one: str, other: str) -> None:
    """The same update, to 1e-4 of its size."""
    initial = torch.load(folder / one / 'initial.pth', weights_only=True)
    found, expected = weights(folder, other), weights(folder, one)
    update = torch.cat([(expected[k] - initial[unwrapped_name(k)]).flatten() for k in initial])
    error = torch.cat([(expected[k] - found[k]).flatten() for k in initial])
    assert error.norm() < 1e-4 * update.norm()


def test_plain_detr_trains_as_one_process_with_both_images(tree, tmp_path):
    """Two processes with an image each, DDP and FSDP, against one with both in a padded batch."""
    alone = write_config(tmp_path, tree, 'plain', 2)
    shared = [write_config(tmp_path, tree, 'plain', 1, kind) for kind in ('', 'fsdp')]
    assert (result := run_script(JOBS, tmp_path, alone)).returncode == 0, result.stderr[-4000:]
    assert (result := run_ranks(JOBS, tmp_path, *shared)).returncode == 0, result.stdout[-4000:]
    (record,) = records(tmp_path, alone)
    expected = losses(record)
    kinds = []
    for name in shared:
        first, second = map(losses, records(tmp_path, name))
        means = {key: (first[key] + second[key]) / 2 for key in expected}
        assert_close(means, expected, atol=1e-4, rtol=1e-4)
        assert (first['loss'] - second['loss']).abs().min() > 1e-2  # each has its own image
        kinds += {r['kind'] for r in records(tmp_path, name)}
        assert_moved_alike(tmp_path, alone, name)
    assert kinds == ['DeviceAgnosticDDP', 'FSDPPlainDETR']


@pytest.mark.slow
@pytest.mark.parametrize('head', [head for head in HEADS if head != 'plain'])
def test_sharded_parameters_train_as_ddp(head, tree, tmp_path):
    names = [write_config(tmp_path, tree, head, 1, kind) for kind in ('', 'fsdp', 'zero1')]
    assert (result := run_ranks(JOBS, tmp_path, *names)).returncode == 0, result.stdout[-4000:]
    expected = records(tmp_path, names[0])
    assert all(r['kind'] == 'DeviceAgnosticDDP' and not r['search'] for r in expected)
    for name in names[1:]:
        for found, plain in zip(records(tmp_path, name), expected):
            assert_close(losses(found), losses(plain), atol=1e-4, rtol=1e-4)
        assert_moved_alike(tmp_path, names[0], name)
