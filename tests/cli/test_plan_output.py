"""Output of the commands plan and analyze: times, warnings, sizes from the config."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from commands import ROOT, run_here
from mmengine.config import Config
from printed_tables import rows_of

from swinv2_dense.cli.plan import iterations, time_table
from swinv2_dense.costs.training_step import Costs

CONFIG = ROOT / 'configs/segmentation/upernet_swinv2-t-w16_1xb16-bf16-160k_ade20k-512x512.py'
COSTS = Costs(parameters=[600], trainable=[600], blocks=[300], kept=7000, working=50, macs=10**10)


def test_batches_of_a_training():
    def of(samples=None, **train_cfg):
        return iterations(Config(dict(train_cfg=train_cfg)), 16, samples)

    assert of(max_iters=1000) == of(100, max_iters=1000) == 1000
    assert of(max_epochs=12) is None and iterations(Config({}), 16, 100) is None
    assert of(100, max_epochs=12) == 12 * 7  # 100 samples are 7 batches of at most 16


def test_small_times_and_the_time_in_all():
    args = SimpleNamespace(tflops=100, utilization=0.5, bandwidth=50, gpus=1)
    seconds = 2 * 10**10 / (100e12 * 0.5)
    assert seconds == 0.0004
    printed = time_table(COSTS, args, 1, 90000)
    assert rows_of(printed)['s computing'] == ['0.0004'] * 3
    assert rows_of(printed)['hours in total'] == ['0.01'] * 3  # 36 s
    accumulated = time_table(COSTS, args, 4, 90000)  # as many batches in a quarter of the steps
    assert rows_of(accumulated)['s computing'] == ['0.0016'] * 3
    assert rows_of(accumulated)['hours in total'] == ['0.01'] * 3
    assert 'hours' not in time_table(COSTS, args, 1)


def test_the_tools_without_a_size(recwarn):
    pytest.importorskip('mmseg')
    result = run_here('plan', CONFIG)
    assert result.returncode == 0, result.stderr
    assert '16 images of 512 x 512 per GPU, 1 GPU: 16 images per step' in result.stdout
    hours = 160000 * float(rows_of(result.stdout)['s per step, overlapped'][0]) / 3600
    assert float(rows_of(result.stdout)['hours in total'][0]) == pytest.approx(hours, rel=0.05)
    assert not [w for w in recwarn if 'FakeTensor' in str(w.message)]
    result = run_here('analyze', CONFIG, '--count-only', '--cfg-options', 'model.backbone.arch=s')
    assert result.returncode == 0, result.stderr
    assert 'backbone at 512x512, one image' in result.stdout
    result = run_here('plan', ROOT / 'configs/_base_/schedules/adamw_160k.py', '--cfg-options',
                      'default_scope=mmseg')  # fmt: skip
    assert result.returncode == 2 and 'has no model, which a training needs' in result.stderr
