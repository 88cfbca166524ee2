"""`test.py --report` and `report.py`, for each task, with random weights on generated data."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from commands import run_here
from quickstart_runs import write_run


def data_of(page: Path) -> dict:
    """The data in a page, without what names the inputs."""
    data = json.loads(re.search('id="data">(.*?)</script>', page.read_text())[1])
    del data['title'], data['facts']
    return data


@pytest.mark.parametrize(
    'task', ['detection', 'segmentation', pytest.param('video', marks=pytest.mark.slow)]
)
def test_pages_show_the_metrics_of_the_test(task, tmp_path):
    pytest.importorskip('decord' if task == 'video' else 'mmcv')
    config, weights = write_run(tmp_path, task)
    result = run_here(
        'test', config, weights, '--work-dir', tmp_path / 'work', '--report', tmp_path / 'page',
        '--dump', tmp_path / 'saved.pkl',
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-2000:]
    page = data_of(tmp_path / 'page/index.html')
    metrics = json.loads(next((tmp_path / 'work').glob('*/*.json')).read_text())
    shown = {item['name']: item['value'] for item in page['blocks'][0]['items']}
    pairs = {
        'detection': {'Box AP': ('coco/bbox_mAP', 1), 'Mask AP50': ('coco/segm_mAP_50', 1)},
        'segmentation': {'mIoU': ('mIoU', 100), 'Mean accuracy': ('mAcc', 100)},
        'video': {'Top-1 accuracy': ('acc/top1', 1), 'Mean class accuracy': ('acc/mean1', 1)},
    }
    for name, (key, scale) in pairs[task].items():
        assert shown[name] * scale == pytest.approx(metrics[key], abs=0.006)  # rounded there
    assert len(page['blocks'][-1]['items']) == (6 if task == 'video' else 3)
    for source in ('saved.pkl', 'page/records.json'):
        out = tmp_path / f'again_{Path(source).suffix[1:]}'
        result = run_here('report', config, tmp_path / source, '--out', out)
        assert result.returncode == 0, result.stderr[-2000:]
        assert data_of(out / 'index.html') == page


def test_wrong_use_ends_in_one_line(tmp_path):
    config, _ = write_run(tmp_path, 'detection')
    (tmp_path / 'notes').mkdir()
    (tmp_path / 'notes/todo.txt').write_text('keep me')
    (tmp_path / 'other.json').write_text('[{"top1": 0.5}]')
    for words, message in (
        ([config, 'no.pkl'], 'predictions no.pkl cannot be read'),
        ([config, tmp_path / 'other.json'], 'needs'),
        ([config, tmp_path / 'other.json', '--out', tmp_path / 'notes'], 'notes holds todo.txt'),
    ):
        result = run_here('report', *words)
        assert result.returncode == 2 and message in result.stderr
        assert len(result.stderr.splitlines()) == 1
