"""Reading checkpoint files: what is read, and what is refused with which message."""

from __future__ import annotations

import json
import os
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from checkpoint_files import KINDS, Payload, by_init_cfg, weights, whole
from mmengine import fileio
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from mmengine.utils import digit_version

from swinv2_dense.checkpoints.reading import read_checkpoint_file, unwrap
from swinv2_dense.errors import CheckpointError, CheckpointNotFoundError

NUMPY2 = digit_version(np.__version__) >= digit_version('2.0.0')


READERS = [read_checkpoint_file, CheckpointLoader.load_checkpoint, by_init_cfg]


@pytest.mark.parametrize('read', READERS)
@pytest.mark.parametrize('legacy', [False, True], ids=['zip', 'legacy'])
def test_a_payload_does_not_run(tmp_path: Path, read: object, legacy: bool) -> None:
    trace, path = tmp_path / 'trace', tmp_path / 'payload.pth'
    checkpoint = dict(state_dict={}, meta=Payload(open, str(trace), 'w'))
    torch.save(checkpoint, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointError, match=f'{path}.*run code.*weights_only=False.*open'):
        read(str(path))
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists()  # so the payload works


@pytest.mark.parametrize(
    'address', ['s3://bucket/x.pth', 'cluster:s3://b/x.pth', 'petrel://b/x.pth', 'pavi://x.pth']
)
def test_object_storage_is_read_safely(tmp_path: Path, monkeypatch, address: str) -> None:
    """Stands in for the backends, which are not installed."""
    trace, path = tmp_path / 'trace', tmp_path / 'payload.pth'
    monkeypatch.setattr(fileio, 'get', lambda name: path.read_bytes())
    torch.save(dict(meta=Payload(open, str(trace), 'w')), path)
    with pytest.raises(CheckpointError, match=f'checkpoint {address} .*run code'):
        CheckpointLoader.load_checkpoint(address)
    assert not trace.exists()
    for kind in KINDS:
        path.write_bytes(whole(kind))
        state = CheckpointLoader.load_checkpoint(address, map_location='cpu')
        assert torch.equal(state['weight'], torch.arange(100.0))


@pytest.mark.parametrize(
    'attribute, owner', [('__globals__', HistoryBuffer.update), ('__init__', HistoryBuffer)]
)
def test_getattr_reaches_nothing_else(tmp_path: Path, attribute: str, owner: object) -> None:
    path = tmp_path / 'payload.pth'
    torch.save(dict(meta=Payload(getattr, owner, attribute)), path)
    with pytest.raises(CheckpointError, match='run code.*not part of a training state'):
        read_checkpoint_file(path)


@pytest.mark.parametrize(
    'payload',
    [
        Payload(np.ndarray, (1,), Payload(np.dtype, 'O8', False, True), b'A' * 8),
        Payload(np.ndarray, (4,), Payload(np.dtype, 'f8', False, True), b'A' * 32, 0, (1 << 30,)),
        Payload(np.float64(0).__reduce__()[0], Payload(np.dtype, 'O8', False, True), b'A' * 8),
        np.array([None, {}]),
        np.zeros(2, dtype=[('x', 'f8')]),
    ],
    ids=['pointers', 'strides', 'scalar', 'objects', 'fields'],
)
def test_arrays_take_no_pointers_from_a_file(tmp_path: Path, payload: object) -> None:
    """numpy makes object arrays of any bytes, and Python follows them as pointers."""
    path = tmp_path / 'payload.pth'
    torch.save(dict(history=payload), path)
    with pytest.raises(CheckpointError, match='holds more than weights'):
        read_checkpoint_file(path)


def test_arrays_of_the_other_numpy(tmp_path: Path) -> None:
    """A checkpoint written with numpy 1 is read with numpy 2, and the other way round."""
    history = HistoryBuffer([1.0, 2.0, 6.0], [1, 1, 1])
    counts = {code: np.array([[1, 0, 1], [0, 0, 1]], dtype=code) for code in '?bBhHiIqQefdF'}
    counts |= {'fortran': np.asfortranarray(counts['d']), 'big': counts['i'].astype('>i4')}
    torch.save(dict(loss=history, best=np.float64(0.5), counts=counts), tmp_path / 'own.pth')
    own, other = (b'numpy._core', b'numpy.core') if NUMPY2 else (b'numpy.core', b'numpy._core')
    with (
        zipfile.ZipFile(tmp_path / 'own.pth') as source,
        zipfile.ZipFile(tmp_path / 'other.pth', 'w') as target,
    ):
        for item in source.infolist():
            content = source.read(item)
            if item.filename.endswith('data.pkl'):
                assert own in content
                content = content.replace(own, other)
            target.writestr(item, content)
    for name in ('own.pth', 'other.pth'):
        checkpoint = read_checkpoint_file(tmp_path / name)
        assert checkpoint['loss'].statistics('mean') == 3.0
        assert checkpoint['best'] == 0.5
        for code, count in counts.items():
            assert checkpoint['counts'][code].dtype == count.dtype.newbyteorder('=')
            assert (checkpoint['counts'][code] == count).all()


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('name', ['a.pth', 'a.safetensors', 'a'])
def test_the_format_is_recognized_by_content_not_by_name(
    tmp_path: Path, kind: str, name: str
) -> None:
    (tmp_path / name).write_bytes(whole(kind))
    state = read_checkpoint_file(tmp_path / name)
    assert torch.equal(state['weight'], torch.arange(100.0))
    assert state['bias'].dtype is torch.bfloat16


@pytest.mark.parametrize('kind', KINDS)
def test_every_truncation_is_named(tmp_path: Path, kind: str) -> None:
    content, path = whole(kind), tmp_path / 'half.pth'
    for length in range(0, len(content), max(1, len(content) // 40)):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match='half.pth (is empty|cannot be|holds more)') as e:
            read_checkpoint_file(path)
        assert '\n' not in str(e.value)


@pytest.mark.parametrize('kind', KINDS)
def test_damage_raises_nothing_else(tmp_path: Path, kind: str) -> None:
    """With random bytes overwritten, the file is read or refused in one line."""
    content, path = whole(kind), tmp_path / 'damaged.pth'
    generator = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        damaged = bytearray(content)
        for place in generator.integers(0, len(content), 8):
            damaged[place] = generator.integers(0, 256)
        path.write_bytes(bytes(damaged))
        try:
            read_checkpoint_file(path)
        except CheckpointError as error:
            assert '\n' not in str(error)
            refused += 1
    assert refused


@pytest.mark.parametrize(
    'content, message',
    [
        (b'', r'is empty \(0 bytes\)'),
        (b'<!DOCTYPE html><html>404</html>', 'is a web page, not weights'),
        (b'\n  <html>Sign in</html>', 'is a web page, not weights'),
        (
            b'version https://git-lfs.github.com/spec/v1\noid sha256:1',
            'is a Git LFS pointer.* git lfs pull',
        ),
        (b'{"message": "Not Found"}', 'cannot be read: it is not a checkpoint'),
        (bytes(range(256)) * 8, 'cannot be read: it is not a checkpoint'),
    ],
    ids=['empty', 'html', 'html-indented', 'lfs', 'json', 'noise'],
)
def test_other_files_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / 'model.pth'
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=f'checkpoint {path} {message}') as error:
        read_checkpoint_file(path)
    assert '\n' not in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / 'nothing.pth', tmp_path / 'no' / 'folder.pth'):
        with pytest.raises(FileNotFoundError, match=f'{path} does not exist'):
            read_checkpoint_file(path)
    with pytest.raises(CheckpointNotFoundError, match='a folder without model.safetensors'):
        read_checkpoint_file(tmp_path)


def test_a_file_without_permission_is_named(tmp_path: Path) -> None:
    path = tmp_path / 'secret.pth'
    path.write_bytes(whole('zip'))
    path.chmod(0)
    root = os.geteuid() == 0
    if root:  # root may read everything
        os.seteuid(65534)
    try:
        with pytest.raises(CheckpointError, match='cannot be opened: Permission denied'):
            read_checkpoint_file(path)
    finally:
        if root:
            os.seteuid(0)


def test_a_split_folder_is_joined(tmp_path: Path) -> None:
    save_file = pytest.importorskip('safetensors.torch').save_file
    for key, value in weights().items():
        save_file({key: value}, tmp_path / f'model-{key}.safetensors')
    index = dict(weight_map={key: f'model-{key}.safetensors' for key in weights()})
    (tmp_path / 'model.safetensors.index.json').write_text(json.dumps(index))
    state = read_checkpoint_file(tmp_path)
    assert sorted(state) == ['bias', 'weight']
    (tmp_path / 'model-bias.safetensors').unlink()
    with pytest.raises(CheckpointNotFoundError, match='model-bias.safetensors does not exist'):
        read_checkpoint_file(tmp_path)


def test_nested_containers() -> None:
    inner = weights()
    for checkpoint, path in [
        (inner, ''),
        (dict(model=inner, epoch=1), 'model'),
        (dict(state_dict=dict(model=inner)), 'state_dict.model'),
        (dict(state_dict={}, model_ema=inner), 'model_ema'),
        (dict(module=dict(state_dict=inner)), 'module.state_dict'),
        (dict(model=inner, state_dict_ema=inner), 'state_dict_ema'),
        (dict(model=dict(a=1), ema=dict(module=inner)), 'ema.module'),
        (dict(model_ema={}, model=inner), 'model'),
    ]:
        assert unwrap(checkpoint) == (inner, path)
    assert unwrap([1]) == ({}, '')


def test_settings_beside_weights_are_dropped(tmp_path: Path) -> None:
    """The official code (yacs) and timm (argparse) save them in training."""
    import argparse

    args = argparse.Namespace(lr=1.0, data='/data')
    torch.save(dict(model=weights(), args=args), tmp_path / 'timm.pth')
    checkpoint = read_checkpoint_file(tmp_path / 'timm.pth')
    assert not isinstance(checkpoint['args'], argparse.Namespace)
    assert torch.equal(checkpoint['model']['weight'], torch.arange(100.0))
    sys.modules['yacs'], module = ModuleType('yacs'), ModuleType('yacs.config')
    sys.modules['yacs.config'] = module
    try:
        module.CfgNode = type('CfgNode', (dict,), dict(__module__='yacs.config'))
        config = module.CfgNode(MODEL=module.CfgNode(NAME='x'))
        config.__dict__['__immutable__'] = True
        torch.save(dict(model=weights(), config=config), tmp_path / 'official.pth')
    finally:
        del sys.modules['yacs.config'], sys.modules['yacs']
    checkpoint = read_checkpoint_file(tmp_path / 'official.pth')
    assert torch.equal(checkpoint['model']['weight'], torch.arange(100.0))


def test_a_torchscript_program_is_named(tmp_path: Path) -> None:
    path = tmp_path / 'script.pt'
    torch.jit.script(torch.nn.Linear(1, 1)).save(path)
    with pytest.raises(CheckpointError, match=r'script\.pt is a TorchScript program'):
        read_checkpoint_file(path)


def test_reading_in_threads_leaves_no_trace(tmp_path: Path) -> None:
    torch.save(dict(history=HistoryBuffer([1.0], [1])), tmp_path / 'a.pth')
    before = set(torch.serialization.get_safe_globals())
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(read_checkpoint_file, [tmp_path / 'a.pth'] * 100))
    assert len(read) == 100
    assert set(torch.serialization.get_safe_globals()) == before


def test_a_refused_pickle_is_not_called_damaged(tmp_path: Path) -> None:
    """Damaged and refused files are told apart by their pickles, not by torch's messages."""
    path = tmp_path / 'other.pth'
    for legacy in (False, True):
        torch.save(Payload(torch.nn.Linear, 1, 1), path, _use_new_zipfile_serialization=not legacy)
        with pytest.raises(CheckpointError, match='holds more than weights.*Linear'):
            read_checkpoint_file(path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b'Linear', b'Line\xff\xff'))
    with pytest.raises(CheckpointError, match='incomplete or damaged'):
        read_checkpoint_file(path)
