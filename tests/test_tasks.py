"""A task is one object: a fourth one, registered by a module of the user, runs in every command."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import SUPPORT, fresh_tool, run_here, tool
from toy_task import CONFIG, write_config

LOOKUP_WARNING = 'Failed to'  # how mmengine begins its warnings about a scope without registries


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands find the user's package."""
    monkeypatch.setenv('PYTHONPATH', str(SUPPORT), prepend=':')


def succeed(*args: object, run: Callable = tool) -> str:
    result = run(*args)
    assert result.returncode == 0, result.printed[-3000:]
    assert LOOKUP_WARNING not in result.printed
    return result.printed


def test_a_fourth_task_trains_tests_and_infers(tmp_path: Path) -> None:
    config, work_dir = write_config(tmp_path, 'toy_task'), tmp_path / 'work'
    report = succeed('train', config, '--work-dir', work_dir)
    assert '4 images' in report and 'Regressor with SwinTransformerV2' in report
    assert 'brightness/error' in report
    checkpoint = work_dir / 'epoch_1.pth'

    out, pictures = tmp_path / 'out.pkl', tmp_path / 'pictures'
    flags = ('--out', out, '--show-dir', pictures, '--work-dir', work_dir)
    succeed('test', config, checkpoint, *flags)
    tested = pickle.loads(out.read_bytes())
    assert len(tested) == 4
    assert sorted(p.stem for p in pictures.iterdir()) == ['10', '170', '250', '90']

    results = tmp_path / 'results'
    succeed('infer', config, checkpoint, tmp_path / 'images', '--out-dir', results)
    found = [json.loads(p.read_text()) for p in sorted((results / 'predictions').iterdir())]
    assert [Path(entry['input']).stem for entry in found] == ['10', '170', '250', '90']
    expected = {round(255 * entry['truth']): entry['prediction'] for entry in tested}
    for entry in found:
        value = expected[int(Path(entry['input']).stem)]
        assert entry['brightness'] == pytest.approx(value, abs=1e-5)
    logs = [path.read_text() for path in work_dir.glob('*/*.log')]
    assert logs and not any(LOOKUP_WARNING in log for log in logs)


def test_its_samples_are_drawn(tmp_path: Path) -> None:
    config = write_config(tmp_path, 'toy_task')
    succeed('browse_dataset', config, '--output-dir', tmp_path / 'drawn', '--number', 2)
    assert len(list((tmp_path / 'drawn').iterdir())) == 2


def test_names_of_mmengine_resolve_in_our_own_scope(tmp_path: Path) -> None:
    """DefaultSampler, AdamW and so on, without a warning about the registries of the scope."""
    config, work_dir = write_config(tmp_path, 'swinv2_dense'), tmp_path / 'work'
    succeed('train', config, '--work-dir', work_dir, run=fresh_tool)
    (log,) = work_dir.glob('*/*.log')
    assert LOOKUP_WARNING not in log.read_text()


@pytest.mark.parametrize(
    ('flags', 'message'),
    [
        (('--tta',), '--tta needs tta_model and tta_pipeline in the config'),
        (('--out', 'folder'), "--out='folder' must end in .pkl: a regressor has no other format"),
    ],
)
def test_what_a_task_does_not_offer_is_an_error(tmp_path: Path, flags: tuple, message: str) -> None:
    config, checkpoint = write_config(tmp_path, 'toy_task'), tmp_path / 'a.pth'
    checkpoint.touch()
    result = run_here('test', config, checkpoint, '--work-dir', tmp_path / 'work', *flags)
    assert result.returncode == 2
    assert message in result.stderr


def test_an_unknown_scope_is_an_error_that_lists_the_known_ones(tmp_path: Path) -> None:
    config = tmp_path / 'unknown.py'
    config.write_text(CONFIG.format(scope='nothing', root=str(tmp_path)))
    result = run_here('train', config, '--work-dir', tmp_path / 'work')
    assert result.returncode == 2
    assert f"default_scope='nothing' of {config}" in result.stderr
    known = result.stderr.partition('one of ')[2]
    scopes = ('mmdet', 'mmseg', 'mmaction', 'swinv2_classification', 'swinv2_pretraining')
    for scope in (*scopes, 'toy_task'):
        assert f'{scope}, ' in known
