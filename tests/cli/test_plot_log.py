"""The command plot_log: logs of one, several and resumed runs, and the curves."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from browser import run_in_page
from commands import tool

from swinv2_dense.cli.plot_log import main as plot_log
from swinv2_dense.errors import ConfigError
from swinv2_dense.training.curve_page import axis
from swinv2_dense.training.curves import charts, draw, read_log, row_lengths, summary


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


def with_losses(folder: Path) -> Path:
    """A run by epochs with two losses, and their validation losses."""
    losses = {'loss_cls': 2.0, 'aux.loss_ce': 1.0}
    records = [r for e in (1, 2) for r in training(range(10 * e - 9, 10 * e + 1), 3.0, epoch=e)]
    records = [{**record, **losses} for record in records]
    records += [{'val_loss': 4.0, 'val_loss_cls': 3.0, 'mAP': 0.1 * e, 'step': e} for e in (1, 2)]
    return write(folder, '1', records).parents[2]


def test_every_loss_has_a_chart_with_its_validation_loss(tmp_path):
    run = read_log(with_losses(tmp_path / 'run'))
    assert run.metrics == ['mAP']
    found, missing = charts([run], ['mAP'])
    curves = {chart.title: {c.name: c.points for c in chart.curves} for chart in found}
    assert list(curves)[:3] == ['loss', 'loss_cls', 'aux.loss_ce']
    assert curves['loss']['run, validation'] == [(10, 4.0), (20, 4.0)]  # ends of the epochs
    assert curves['loss_cls']['run, validation'] == [(10, 3.0), (20, 3.0)]
    assert list(curves['aux.loss_ce']) == ['run']
    assert missing == ['memory (MiB)']
    assert {chart.title: chart.unit for chart in found}['mAP'] == 'epoch'


def test_rows_of_panels_have_no_gaps():
    for count in range(1, 41):
        lengths = row_lengths(count)
        assert sum(lengths) == count and max(lengths) - min(lengths) <= 1
        assert all(12 % length == 0 for length in lengths)  # columns of a row


@pytest.mark.parametrize(
    ('values', 'expected'),
    [
        ([0, 600], (0, 600, 6)),
        ([0, 160_000], (0, 200_000, 4)),
        ([2.95, 4.36], (2.5, 4.5, 4)),
        ([3.0], (2, 4, 4)),
        ([0.0], (0, 1, 5)),
        ([], (0, 1, 5)),
        ([-1.0, 1.0], (-1, 1, 4)),
    ],
)
def test_axes_have_round_numbers_around_their_values(values, expected):
    found = axis(values)
    if len(set(values)) > 1:
        assert tuple(found.values()) == pytest.approx(expected)
    assert all(found['min'] <= value <= found['max'] for value in values)
    assert found['min'] < found['max'] and 1 <= found['steps'] <= 6


@pytest.mark.parametrize('width', [500, pytest.param(1280, marks=pytest.mark.slow)])
def test_the_page_shows_values_where_readers_point(tmp_path, width):
    runs = [with_losses(tmp_path / 'A<b>'), with_losses(tmp_path / 'B')]
    records = runs[1] / '1/vis_data/scalars.json'
    records.write_text(records.read_text() + '{"loss": NaN, "step": 21, "epoch": 3}\n')
    page = tmp_path / 'new/curves.html'
    plot_log([*map(str, runs), '--out', str(tmp_path / 'x.png'), '--html', str(page)])
    found = run_in_page(
        page,
        """
const titles = [...document.querySelectorAll('figcaption')].map((n) => n.textContent);
const svg = document.querySelector('.chart svg');
const box = svg.getBoundingClientRect();
const [clientX, clientY] = [box.right - 30, box.top + 20];
svg.dispatchEvent(new PointerEvent('pointermove', { clientX, clientY }));
const tip = document.getElementById('tip');
const text = tip.hidden ? '' : tip.textContent;
return { titles, text, page: document.documentElement.scrollWidth, window: window.innerWidth,
         markup: document.querySelectorAll('main b').length,
         rows: document.querySelectorAll('tbody tr').length };
""",
        width,
    )
    assert found['faults'] == [] and found['page'] <= found['window']
    assert found['titles'][:4] == ['loss', 'loss_cls', 'aux.loss_ce', 'mAP']
    assert 'A<b>: 0.15' in found['text'] and 'B, validation: 4' in found['text']
    assert found['markup'] == 0 and found['rows'] == 2


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
