"""`prepare_data own`, and the two commands that it prints."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from commands import run_here

ONE_EPOCH = ['train_cfg.max_epochs=1', 'train_dataloader.batch_size=4']
QUICK_MAPS = [
    'train_cfg.max_iters=2',
    'train_cfg.val_interval=2',
    'train_dataloader.batch_size=2',
    'default_hooks.checkpoint.interval=2',
    'default_hooks.logger.interval=1',
]
QUICK = [
    f'{part}_dataloader.{key}'
    for part in ('train', 'val', 'test')
    for key in ('num_workers=0', 'persistent_workers=False')
]


def three_commands(
    src: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, shorter: list[str], *flags: str
) -> dict:
    """Run them as printed, the training cut short; returns the metrics of the test."""
    monkeypatch.chdir(folder)
    result = run_here('prepare_data', 'own', src, '--out', 'data/mine', '--device', 'cpu', *flags)
    assert result.returncode == 0, result.stderr[-2000:]
    train, test = (shlex.split(line) for line in result.stdout.splitlines()[-2:])
    for words, name in ((train, 'train'), (test, 'test')):
        assert words[0] == 'python' and words[1].endswith(f'{name}.py')
    trained = run_here('train', *train[2:], '--cfg-options', *QUICK, *shorter)
    assert not trained.returncode, trained.stdout[-2000:] + trained.stderr[-3000:]
    (checkpoint,) = Path('work_dirs/mine').glob('[ei]*.pth')  # of the shortened training
    assert str(checkpoint).startswith(re.sub(r'\d+\.pth', '', test[3]))
    tested = run_here('test', test[2], checkpoint, '--cfg-options', *QUICK)
    assert not tested.returncode, tested.stderr[-3000:]
    (file,) = Path('work_dirs/mine').glob('*/*.json')
    metrics = json.loads(file.read_text())
    logged = dict(re.findall(r'([\w/]+): +(-?[\d.]+)', trained.stdout.rpartition('(val) [')[2]))
    for key in set(metrics) & set(logged) - {'time', 'data_time'}:
        assert metrics[key] == pytest.approx(float(logged[key]), abs=2e-3), key
    return metrics
