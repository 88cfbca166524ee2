"""What an installed wheel holds: the configs, and no requirement that overwrites an mm package."""

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
    """A folder with the wheel installed. Built from a copy: building leaves files in its folder."""
    folder = tmp_path_factory.mktemp('packaging')
    for name in ('swinv2_dense', 'configs'):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns('__pycache__'))
    for name in ('setup.py', 'pyproject.toml', 'README.md', 'LICENSE'):
        shutil.copy(ROOT / name, folder)
    pip('wheel', '--no-build-isolation', '--wheel-dir', folder / 'dist', folder)
    (wheel,) = (folder / 'dist').glob('*.whl')
    pip('install', '--target', folder / 'installed', wheel)
    return folder / 'installed'


def test_every_config_is_in_the_wheel(installed: Path) -> None:
    def files(folder: Path) -> set[str]:
        kinds = ('.py', '.md', '.yml')
        return {str(p.relative_to(folder)) for p in folder.rglob('*') if p.suffix in kinds}

    assert files(installed / 'swinv2_dense' / 'configs') == files(ROOT / 'configs')


def test_config_of_a_user_inherits_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    name = next(p.relative_to(ROOT / 'configs') for p in ROOT.glob('configs/[!_]*/*.py'))
    (tmp_path / 'mine.py').write_text(
        f"_base_ = __import__('swinv2_dense').config_path({str(name)!r})\nwork_dir = 'mine'\n"
    )
    code = """
from mmengine import Config
import swinv2_dense
config = Config.fromfile('mine.py')
assert config.work_dir == 'mine' and config.model.backbone, config
print(swinv2_dense.__file__)
"""
    result = subprocess.run(
        [sys.executable, '-c', code],
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(installed)},
        capture_output=True,
        text=True,
    )
    assert result.stdout.strip() == str(installed / 'swinv2_dense' / '__init__.py'), result.stderr


def test_requires_no_mm_package(installed: Path) -> None:
    (distribution,) = metadata.distributions(name='swinv2_dense', path=[str(installed)])
    required = [r for r in distribution.requires if 'extra ==' not in r]
    assert required == ['torch>=2.6', 'safetensors>=0.4']
