"""The command quickstart_spread: its runs, the records that it keeps, and its table."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from swinv2_dense.quickstart.examples import EXAMPLES
from swinv2_dense.quickstart.spread import SpreadRun, measure, plan_runs, read_records, table

# Stands in for the quickstart: records its calls, and fails for seed 2.
QUICKSTART = """
import argparse, json, os, pathlib, sys
parser = argparse.ArgumentParser()
parser.add_argument('--task'), parser.add_argument('--seed', type=int)
parser.add_argument('--work-dir', type=pathlib.Path), parser.add_argument('--data-root')
args = parser.parse_args()
level = os.environ.get('ATEN_CPU_CAPABILITY', 'unset')
with open(pathlib.Path(__file__).with_name('calls.txt'), 'a') as calls:
    calls.write(f'{args.task} {args.seed} {level}\\n')
if args.seed == 2:
    sys.exit('no space left')
folder = args.work_dir / args.task
folder.mkdir(parents=True)
record = dict(seconds=60, target=0.9, reached=args.seed == 0, figures={'top-1': 0.8 + args.seed})
(folder / 'results.json').write_text(json.dumps(record))
sys.exit(0 if record['reached'] else 1)
"""


@pytest.fixture
def quickstart(tmp_path: Path) -> Path:
    (tmp_path / 'quickstart.py').write_text(QUICKSTART)
    return tmp_path / 'quickstart.py'


def started(quickstart: Path) -> list[object]:
    """The command, as `measure` takes it."""
    return [sys.executable, quickstart]


def calls(quickstart: Path) -> list[str]:
    return sorted(quickstart.with_name('calls.txt').read_text().splitlines())


def test_every_combination_runs_once(
    quickstart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('ATEN_CPU_CAPABILITY', 'avx2')  # of no effect on native runs
    runs = plan_runs(['video', 'detection'], [0, 1], ['default', 'avx2', 'native'])
    records = measure(runs, started(quickstart), tmp_path / 'work', jobs=4)
    wanted = sorted(
        f'{task} {seed} {level}'
        for task in ('video', 'detection')
        for seed in (0, 1)
        for level in ('default', 'avx2', 'unset')
    )
    assert calls(quickstart) == wanted
    assert [SpreadRun(r['task'], r['seed'], r['capability']) for r in records] == runs
    # A run that misses its target is finished, too.
    assert [r['reached'] for r in records] == 2 * [*[True] * 3, *[False] * 3]


def test_finished_runs_are_not_repeated(quickstart: Path, tmp_path: Path) -> None:
    work_dir, runs = tmp_path / 'work', plan_runs(['video'], [0, 1, 2, 3], ['native'])
    assert len(measure(runs[:1], started(quickstart), work_dir)) == 1
    with (work_dir / 'spread.jsonl').open('a') as file:
        file.write('{"task": "video", "se')  # truncated by a full disk
    assert len(measure(runs, started(quickstart), work_dir)) == 3, 'seed 2 fails'
    assert len(measure(runs, started(quickstart), work_dir)) == 3
    made = [f'video {seed} unset' for seed in (0, 1, 2, 2, 3)]
    assert calls(quickstart) == made, 'only the one that failed runs again'
    assert set(read_records(work_dir / 'spread.jsonl')) == {runs[0], runs[1], runs[3]}
    assert 'no space left' in (work_dir / runs[2].name / 'quickstart.log').read_text()


def test_results_of_an_earlier_attempt_do_not_count(quickstart: Path, tmp_path: Path) -> None:
    run = SpreadRun('video', 2, 'native')
    folder = tmp_path / 'work' / run.name / 'video'
    folder.mkdir(parents=True)
    (folder / 'results.json').write_text(json.dumps(dict(reached=True, figures={}, seconds=1)))
    assert measure([run], started(quickstart), tmp_path / 'work') == []


def test_table_has_minimum_median_and_maximum() -> None:
    records = [
        dict(task='video', seconds=60 * k, reached=value > 0.9, figures={'top-1': value})
        for k, value in enumerate((0.97, 0.85, 0.99, 0.95))
    ]
    records.append(dict(task='segmentation', seconds=90, reached=True, figures={'mIoU': 0.961}))
    rows = [line.split() for line in table(records).splitlines()]
    assert rows == [
        ['reached', 'min', 'median', 'max'],
        ['video:', 'top-1', '3', 'of', '4', '0.850', '0.960', '0.990'],
        ['video:', 'minutes', '3', 'of', '4', '0.000', '1.500', '3.000'],
        ['segmentation:', 'mIoU', '1', 'of', '1', '0.961', '0.961', '0.961'],
        ['segmentation:', 'minutes', '1', 'of', '1', '1.500', '1.500', '1.500'],
    ]


@pytest.mark.parametrize(
    ('task', 'results', 'figures'),
    [
        (
            'detection',
            {'test': {'coco/bbox_mAP_50': 0.7, 'coco/segm_mAP_50': 0.6, 'coco/bbox_mAP': 0.1}},
            {'box AP50': 0.7, 'mask AP50': 0.6},
        ),
        ('segmentation', {'test': {'mIoU': 96.0, 'aAcc': 98.0}}, {'mIoU': 0.96}),
        (
            'video',
            {
                'test': {'acc/top1': 0.97, 'pair/swapped': 0.02},
                'reversed': {'acc/top1': 0.03, 'pair/swapped': 0.95},
                'shuffled': {'acc/top1': 0.4, 'pair/swapped': 0.3},
            },
            {'forwards': 0.97, 'backwards': 0.95, 'shuffled': 0.4},
        ),
        (
            'pretraining',
            {
                'test': {'mIoU': 86.0, 'aAcc': 90.0},
                'scratch_test': {'mIoU': 88.0, 'aAcc': 91.0},
                'reconstruction': {'simmim/masked_l1': 0.6},
            },
            {'pre-trained': 0.86, 'from scratch': 0.88, 'masked L1': 0.6},
        ),
    ],
)
def test_figures_are_compared_with_the_target(task: str, results: dict, figures: dict) -> None:
    assert EXAMPLES[task].figures(results) == figures
    others = ('shuffled', 'from scratch', 'masked L1')  # not compared
    least = min(value for name, value in figures.items() if name not in others)
    assert EXAMPLES[task].reached(results, least)
    assert not EXAMPLES[task].reached(results, least + 0.001)
