"""Hostile input: code in files, paths out of folders, text for a shell. See SECURITY.md."""

from __future__ import annotations

import ast
import json
import pickle
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from checkpoint_files import Payload
from commands import ROOT, run_here
from mmengine.fileio import load

SOURCES = sorted([*ROOT.glob('swinv2_dense/**/*.py'), *ROOT.glob('tools/*.py')])


def unsafe_calls(source: str) -> list[str]:
    """Calls that run code or trust names in archives, and that ruff's rules do not know."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            is_loading = name == 'torch.load' and given.get('weights_only') != 'True'
            is_pickle = given.get('allow_pickle', 'False') != 'False'
            is_named = name in ('compile', '__import__') or name.endswith('.extractall')
            found += [name] * (is_loading or is_pickle or is_named)
    return found


@pytest.mark.parametrize('path', SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_makes_unsafe_calls(path):
    assert unsafe_calls(path.read_text()) == []


@pytest.mark.parametrize(
    'source',
    [
        'torch.load(x)',
        'torch.load(x, weights_only=False)',
        'numpy.load(x, allow_pickle=True)',
        'archive.extractall(x)',
        'compile(x, y, z)',
        '__import__(x)',
    ],
)
def test_unsafe_calls_are_found(source):
    assert len(unsafe_calls(source)) == 1


@pytest.mark.parametrize(
    'source, rule',
    [
        ('import pickle as p\np.loads(x)', 'S301'),
        ('from pickle import Unpickler\nUnpickler(x)', 'S301'),
        ('import marshal\nmarshal.load(x)', 'S302'),
        ('from subprocess import run\nrun(f"ls {x}", shell=True)', 'S602'),
        ('import os\nos.system(x)', 'S605'),
        ('from yaml import load\nload(x)', 'S506'),
        ('import yaml\nyaml.unsafe_load(x)', 'TID251'),
        ('eval(x)', 'S307'),
        ('exec(x)', 'S102'),
    ],
)
def test_ruff_finds_other_unsafe_calls(source, rule):
    """With the settings of this repository, which CI applies to all files."""
    ruff = [sys.executable, '-m', 'ruff', 'check', '--stdin-filename', 'swinv2_dense/x.py', '-']
    command = [*ruff, '--output-format', 'json']
    result = subprocess.run(command, cwd=ROOT, input=source, text=True, capture_output=True)
    assert rule in {problem['code'] for problem in json.loads(result.stdout)}, result.stderr


@pytest.fixture
def payload(tmp_path) -> Path:
    """A checkpoint that writes the file `trace` if code in it runs."""
    path = tmp_path / 'epoch_1.pth'
    state = dict(state_dict={}, message_hub={}, meta=Payload(open, str(tmp_path / 'trace'), 'w'))
    torch.save(state, path)
    return path


CONFIG = 'configs/quickstart/htc++_swinv2-c32-w8_1xb8-600it_shapes-128.py'


@pytest.fixture(scope='module')
def shapes(tmp_path_factory) -> list[str]:
    """Options for the quickstart's config: two images whose names are paths out of their folder."""
    pytest.importorskip('mmdet')
    from swinv2_dense.quickstart.shapes import ShapesSpec, write_dataset

    root = tmp_path_factory.mktemp('data') / 'shapes'
    write_dataset(root, ShapesSpec(train=2, val=2))
    file = root / 'annotations' / 'instances_val.json'
    content = json.loads(file.read_text())
    for i, image in enumerate(content['images']):
        name = f'../../{"$(touch trace);" if i else ""}{i}.png'
        (root / 'val' / image['file_name']).rename(root / 'val' / name)
        image['file_name'] = name
    file.write_text(json.dumps(content))
    return [
        *(f'{part}_dataloader.dataset.data_root={root}/' for part in ('train', 'val', 'test')),
        *(f'{part}_dataloader.num_workers=0' for part in ('train', 'val', 'test')),
        *(f'{part}_dataloader.persistent_workers=False' for part in ('train', 'val', 'test')),
        *(f'{part}_evaluator.ann_file={file}' for part in ('val', 'test')),
        'test_dataloader.dataset.data_prefix._delete_=True',
        'test_dataloader.dataset.data_prefix.img=val/',
    ]


@pytest.mark.filterwarnings('ignore')  # of the libraries, in a process that sees them first
@pytest.mark.parametrize('command', ['test', 'train --resume', 'train load_from', 'convert'])
def test_no_command_runs_code_in_a_checkpoint(payload, shapes, tmp_path, command):
    options = ['--work-dir', tmp_path / 'work', '--cfg-options', *shapes]
    arguments = {
        'test': ('test', CONFIG, payload, *options),
        'train --resume': ('train', CONFIG, '--resume', payload, *options),
        'train load_from': ('train', CONFIG, *options, f'load_from={payload}'),
        'convert': ('convert_checkpoint', payload, '--inspect'),
    }[command]
    result = run_here(*arguments)
    assert result.returncode == 2
    assert 'run code' in result.stderr and str(payload) in result.stderr
    assert not (tmp_path / 'trace').exists()


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('name', ['a.pkl', 'a.yaml'])
@pytest.mark.parametrize('key', ['dataset.ann_file', 'dataset.proposal_file', 'ann_file'])
def test_no_command_runs_code_in_an_annotation_file(shapes, tmp_path, name, key):
    """mmengine does, as the last lines show."""
    file, trace = tmp_path / name, tmp_path / 'trace'
    if name == 'a.pkl':
        file.write_bytes(pickle.dumps(Payload(open, str(trace), 'w')))
    else:
        file.write_text(f'!!python/object/apply:builtins.open [{str(trace)!r}, w]')
    part = 'train_dataloader' if key.startswith('dataset') else 'val_evaluator'
    options = ['--work-dir', tmp_path / 'work', '--cfg-options', *shapes, f'{part}.{key}={file}']
    result = run_here('train', CONFIG, *options)
    assert result.returncode == 2 and f'{part}.{key}={str(file)!r}: reading' in result.stderr
    assert not trace.exists()
    load(file)
    assert trace.exists()


def tree(folder: Path) -> set[Path]:
    return {path for path in folder.rglob('*') if path.is_file()}


@pytest.mark.filterwarnings('ignore')
def test_pictures_stay_in_their_folder(shapes, tmp_path, monkeypatch):
    from mmdet.utils import register_all_modules
    from mmengine.config import Config
    from mmengine.registry import MODELS, DefaultScope

    register_all_modules(init_default_scope=False)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(Config.fromfile(ROOT / CONFIG).model)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'weights.pth')
    data = Path(next(o for o in shapes if 'test_dataloader.dataset.data_root' in o).split('=')[1])
    before = tree(data.parent)
    result = run_here(
        *('test', CONFIG, tmp_path / 'weights.pth', '--work-dir', tmp_path / 'out' / 'work'),
        *('--show-dir', tmp_path / 'out' / 'shown', '--cfg-options', *shapes),
    )
    assert result.returncode == 0, result.stderr[-3000:]
    shown = tree(tmp_path / 'out' / 'shown')
    assert sorted(path.name for path in shown) == ['$(touch trace);1.png', '0.png']
    assert all(np.any(cv2.imread(str(path))) for path in shown)
    assert tree(data.parent) == before
    assert tree(tmp_path) == {tmp_path / 'weights.pth', *tree(tmp_path / 'out')}
    assert not Path('trace').exists()
