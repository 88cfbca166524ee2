"""Hostile input: code in files, names that lead elsewhere, text for a shell. See SECURITY.md."""

from __future__ import annotations

import ast
import json
import pickle
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from checkpoint_files import Payload
from commands import ROOT, run_here
from mmengine.fileio import load

SOURCES = sorted([*ROOT.glob('swinv2_dense/**/*.py'), *ROOT.glob('tools/*.py')])
FORBIDDEN = {
    *('eval', 'exec', 'compile', '__import__', 'os.system', 'os.popen', 'os.startfile'),
    *('pickle.load', 'pickle.loads', 'pickle.Unpickler', 'marshal.load', 'marshal.loads'),
    *('yaml.load', 'yaml.unsafe_load', 'yaml.full_load', 'joblib.load', 'shelve.open'),
    *('subprocess.getoutput', 'subprocess.getstatusoutput', 'shutil.unpack_archive'),
    *('tarfile.extractall', 'zipfile.extractall', 'torch.hub.load', 'pandas.read_pickle'),
}
METHODS = {'extractall'}  # of archives, which trusts the names of members


def called(source: str) -> Iterator[tuple[str, ast.Call]]:
    """Every call by its dotted name, the names of imports written out."""
    tree, names = ast.parse(source), {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update({(a.asname or a.name): a.name for a in node.names})
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update({(a.asname or a.name): f'{node.module}.{a.name}' for a in node.names})
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            first, *rest = ast.unparse(node.func).split('.')
            yield '.'.join([names.get(first, first), *rest]), node


def faults(source: str) -> list[str]:
    found = []
    for name, node in called(source):
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        if name in FORBIDDEN or name.rpartition('.')[2] in METHODS:
            found.append(name)
        if name == 'torch.load' and given.get('weights_only') != 'True':
            found.append('torch.load without weights_only')
        if given.get('shell', 'False') != 'False':
            found.append(f'{name} with a shell')
        if given.get('allow_pickle', 'False') != 'False':
            found.append(f'{name} with pickles')
    return found


@pytest.mark.parametrize('path', SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_code_reaches_a_shell_or_runs_text(path):
    assert faults(path.read_text()) == []


@pytest.mark.parametrize(
    'source',
    [
        'import pickle as p\np.loads(x)',
        'from subprocess import run\nrun(f"ls {x}", shell=True)',
        'import torch\ntorch.load(x)',
        'import numpy\nnumpy.load(x, allow_pickle=True)',
        'from yaml import load\nload(x)',
        'archive.extractall(x)',
        'eval(x)',
    ],
)
def test_the_search_finds(source):
    assert len(faults(source)) == 1
    assert faults(source.replace('shell=True', 'check=True')) == [] or 'shell' not in source


@pytest.fixture
def payload(tmp_path) -> Path:
    """A checkpoint that writes the file `trace` where code in it runs."""
    path = tmp_path / 'epoch_1.pth'
    state = dict(state_dict={}, message_hub={}, meta=Payload(open, str(tmp_path / 'trace'), 'w'))
    torch.save(state, path)
    return path


CONFIG = 'configs/quickstart/htc++_swinv2-c32-w8_1xb8-600it_shapes-128.py'


@pytest.fixture(scope='module')
def shapes(tmp_path_factory) -> list[str]:
    """Options for the quickstart's config: two images whose names lead out of every folder."""
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
@pytest.mark.parametrize('door', ['test', 'train --resume', 'train load_from', 'convert'])
def test_no_tool_runs_what_a_checkpoint_holds(payload, shapes, tmp_path, door):
    options = ['--work-dir', tmp_path / 'work', '--cfg-options', *shapes]
    arguments = {
        'test': ('test', CONFIG, payload, *options),
        'train --resume': ('train', CONFIG, '--resume', payload, *options),
        'train load_from': ('train', CONFIG, *options, f'load_from={payload}'),
        'convert': ('convert_checkpoint', payload, '--inspect'),
    }[door]
    result = run_here(*arguments)
    assert result.returncode == 2
    assert 'run code' in result.stderr and str(payload) in result.stderr
    assert not (tmp_path / 'trace').exists()


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('name', ['a.pkl', 'a.yaml'])
@pytest.mark.parametrize('key', ['dataset.ann_file', 'dataset.proposal_file', 'ann_file'])
def test_no_tool_runs_what_an_annotation_file_holds(shapes, tmp_path, name, key):
    """Which mmengine does, as the last lines show."""
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
