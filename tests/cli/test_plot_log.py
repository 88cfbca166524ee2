"""The command plot_log: logs of one, several and resumed runs, and the curves."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import tool

from swinv2_dense.cli.plot_log import main as plot_log
from swinv2_dense.errors import ConfigError
from swinv2_dense.training.curves import draw, read_log, summary


def write(work_dir: Path, start: str, records: list[dict]) -> Path:
    path = work_dir / start / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text(''.join(f'{json.dumps(record)}\n' for record in records))
    return path


def training(steps: range, loss: float, **more: float) -> list[dict]:
    return [
        dict(lr=1e-4 * s, data_time=0.1, loss=loss / s, time=0.5, step=s, **more) for s in steps
    ]


def test_logs_of_a_resumed_run_are_merged_and_later_records_win(tmp_path):
    write(tmp_path, '20260101_000000', [*training(range(1, 8), 8.0), {'mIoU': 10.0, 'step': 5}])
    write(tmp_path, '20260101_010000', [*training(range(6, 11), 4.0), {'mIoU': 30.0, 'step': 10}])
    run = read_log(tmp_path)
    points = run.points(lambda record: record['loss'])
    assert points == [(s, (8.0 if s < 6 else 4.0) / s) for s in range(1, 11)]
    assert run.metrics == ['mIoU'] and run.metric('mIoU') == [(5, 10.0), (10, 30.0)]
    assert not run.by_epoch
    text = summary(run, ['mIoU'])
    assert text.endswith(
        'iteration 10, loss 0.4, 2 iterations per second, mIoU 30 (highest 30 at iteration 10)'
    )


def test_metrics_by_epoch_are_drawn_over_epochs(tmp_path):
    records = [*training(range(1, 5), 8.0, epoch=1, iter=1), {'acc/top1': 0.5, 'step': 1}]
    write(tmp_path, '1', records)
    run = read_log(tmp_path)
    assert run.by_epoch and run.metric('acc/top1') == [(1, 0.5)]
    assert 'highest 0.5 at epoch 1' in summary(run, ['acc/top1'])


def test_curves_show_the_values_of_the_log(tmp_path):
    """A falling loss fills the upper left and lower right of its panel, a rising one does not."""
    panels = {}
    for name, order in (('down', 1), ('up', -1)):
        losses = np.linspace(4, 1, 60)[::order]
        records = [dict(loss=float(y), step=i + 1) for i, y in enumerate(losses)]
        run = read_log(write(tmp_path / name, '1', records))
        assert draw([run], [], tmp_path / f'{name}.png') == [
            'learning rate', 'iterations per second', 'memory (MiB)', 'metrics'
        ]  # fmt: skip
        image = cv2.imread(str(tmp_path / f'{name}.png')).astype(int)
        blue = (image[..., 0] - image[..., 2]) > 80  # the first color of matplotlib
        half_y, half_x = blue.shape[0] // 2, blue.shape[1] // 2
        panels[name] = [
            blue[:half_y, :half_x].sum(), blue[half_y:, half_x:].sum(),
            blue[:half_y, half_x:].sum(), blue[half_y:, :half_x].sum(),
        ]  # fmt: skip
    assert min(panels['down'][:2]) > 5 * max(panels['down'][2:])
    assert min(panels['up'][2:]) > 5 * max(panels['up'][:2])


def test_several_runs_in_one_picture(tmp_path, capsys):
    for name, loss in (('first', 8.0), ('second', 6.0)):
        more = dict(memory=1000) if name == 'second' else {}
        records = [*training(range(1, 40), loss, **more), {'mIoU': loss, 'aAcc': 1.0, 'step': 39}]
        write(tmp_path / name, '1', records)
    runs = [str(tmp_path / name) for name in ('first', 'second')]
    plot_log([*runs, '--metric', 'mIoU', 'aAcc', '--out', str(tmp_path / 'new/both.png')])
    printed = capsys.readouterr().out
    assert 'first: iteration 39' in printed and 'second: iteration 39' in printed
    assert 'Not in these logs' not in printed
    image = cv2.imread(str(tmp_path / 'new/both.png')).astype(int)
    orange = ((image[..., 2] - image[..., 0]) > 150).sum()
    assert orange > 100, 'the second run has its own color'


def test_a_truncated_line_is_skipped_at_the_end_and_an_error_elsewhere(tmp_path):
    path = write(tmp_path, '1', training(range(1, 4), 8.0))
    path.write_text(path.read_text() + '{"loss": 1.')
    assert max(read_log(path).training) == 3
    path.write_text('{"loss": 1.\n' + path.read_text())
    with pytest.raises(ConfigError, match=r'scalars.json, line 1 is not JSON'):
        read_log(path)


def test_wrong_use_ends_in_one_line(tmp_path):
    missing = tool('plot_log', tmp_path / 'none')
    assert missing.returncode == 2 and 'no log found; give the work directory' in missing.stderr
    write(tmp_path, '1', [{'mIoU': 1.0, 'step': 1}])
    with pytest.raises(ConfigError, match='has no record with a loss'):
        read_log(tmp_path)
    write(tmp_path / 'a', '1', [*training(range(1, 3), 1.0), {'mIoU': 1.0, 'step': 1}])
    with pytest.raises(ConfigError, match="--metric 'mAP': the logs have mIoU"):
        plot_log([str(tmp_path / 'a'), '--metric', 'mAP'])
