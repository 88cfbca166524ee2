"""The installed wheel: configs, requirements, and commands that work without a checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from commands import ROOT


def pip(*args: object) -> None:
    command = [sys.executable, '-m', 'pip', *map(str, args), '--no-deps', '--quiet']
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.fixture(scope='module')
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel installed. Built from a copy, because a build leaves files behind."""
    folder = tmp_path_factory.mktemp('packaging')
    for name in ('swinv2_dense', 'configs'):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns('__pycache__'))
    for name in ('setup.py', 'pyproject.toml', 'README.md', 'LICENSE'):
        shutil.copy(ROOT / name, folder)
    pip('wheel', '--no-build-isolation', '--wheel-dir', folder / 'dist', folder)
    (wheel,) = (folder / 'dist').glob('*.whl')
    pip('install', '--target', folder / 'installed', wheel)
    return folder / 'installed'


def run(installed: Path, folder: Path, *command: object) -> subprocess.CompletedProcess:
    """Run a command in a folder, with the installed wheel first on the path."""
    environment = {**os.environ, 'PYTHONPATH': str(installed), 'OMP_NUM_THREADS': '1'}
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)


def test_every_config_is_in_the_wheel(installed: Path) -> None:
    def files(folder: Path) -> set[str]:
        kinds = ('.py', '.md', '.yml')
        return {str(p.relative_to(folder)) for p in folder.rglob('*') if p.suffix in kinds}

    assert files(installed / 'swinv2_dense' / 'configs') == files(ROOT / 'configs')


def test_requires_no_mm_package(installed: Path) -> None:
    (distribution,) = metadata.distributions(name='swinv2_dense', path=[str(installed)])
    required = [r for r in distribution.requires if 'extra ==' not in r]
    assert required == ['torch>=2.6', 'safetensors>=0.4']


STARTS = {  # what `swinv2-dense` and `python -m swinv2_dense` call themselves
    'swinv2-dense': lambda installed: [sys.executable, installed / 'bin' / 'swinv2-dense'],
    'python -m swinv2_dense': lambda installed: [sys.executable, '-m', 'swinv2_dense'],
}


def slow(name: str) -> object:
    """A second way to start that takes the same path; every start imports torch."""
    return pytest.param(name, marks=pytest.mark.slow)


@pytest.mark.parametrize('name', ['swinv2-dense', slow('python -m swinv2_dense')])
def test_commands_are_listed(installed: Path, tmp_path: Path, name: str) -> None:
    listed = run(installed, tmp_path, *STARTS[name](installed), '--help')
    assert listed.returncode == 0, listed.stderr
    assert listed.stdout.startswith(f'Usage: {name} COMMAND')
    for command in ('train', 'test', 'infer', 'quickstart'):
        assert f'\n  {command} ' in listed.stdout


@pytest.mark.parametrize('name', [slow('swinv2-dense'), 'python -m swinv2_dense'])
def test_a_command_explains_itself(installed: Path, tmp_path: Path, name: str) -> None:
    helped = run(installed, tmp_path, *STARTS[name](installed), 'train', '--help')
    assert helped.returncode == 0 and helped.stdout.startswith(f'usage: {name} train ')


@pytest.mark.parametrize('name', [slow('swinv2-dense'), 'python -m swinv2_dense'])
def test_an_unknown_command_is_an_error(installed: Path, tmp_path: Path, name: str) -> None:
    unknown = run(installed, tmp_path, *STARTS[name](installed), 'trian')
    assert unknown.returncode == 2
    assert unknown.stderr == "error: unknown command 'trian'; did you mean 'train'?\n"


def test_a_config_that_inherits_from_the_wheel_is_analyzed(installed: Path, tmp_path: Path) -> None:
    pytest.importorskip('mmseg')
    (name,) = ROOT.glob('configs/quickstart/upernet*.py')
    (tmp_path / 'mine.py').write_text(
        f"_base_ = __import__('swinv2_dense').config_path('quickstart/{name.name}')\n"
        "__import__('pathlib').Path('from').write_text(__import__('swinv2_dense').__file__)\n"
    )
    flags = ['--count-only', '--size', 128, 128]
    start = STARTS['swinv2-dense'](installed)
    result = run(installed, tmp_path, *start, 'analyze', 'mine.py', *flags)
    assert result.returncode == 0, result.stderr
    assert 'backbone at 128x128, one image' in result.stdout
    used = (tmp_path / 'from').read_text()
    assert used == str(installed / 'swinv2_dense' / '__init__.py')


@pytest.mark.slow
def test_the_quickstart_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    """Its data lie in another folder than the configs'; files go nowhere but where flags say."""
    pytest.importorskip('mmseg')
    splits = ('train', 'val', 'test')
    result = run(
        *(installed, tmp_path, sys.executable, '-m', 'swinv2_dense', 'quickstart'),
        *('--task', 'segmentation', '--target', 0, '--train-samples', 4, '--val-samples', 2),
        *('--work-dir', tmp_path / 'work', '--data-root', tmp_path / 'generated'),
        *('--cfg-options', 'train_cfg.max_iters=2', 'train_cfg.val_interval=2'),
        *('param_scheduler.0.end=1', 'param_scheduler.1.begin=1', 'train_dataloader.batch_size=2'),
        *(f'{split}_dataloader.num_workers=0' for split in splits),
        *(f'{split}_dataloader.persistent_workers=False' for split in splits),
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert '\n$ python -m swinv2_dense train ' in result.stdout
    last = result.stdout.strip().splitlines()[-1].split()
    assert last[:4] == ['python', '-m', 'swinv2_dense', 'train']
    assert Path(last[4]).is_relative_to(installed) and Path(last[4]).is_file()
    assert (tmp_path / 'work/segmentation/iter_2.pth').is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ['generated', 'work']
