"""Reading and fetching checkpoint files: what is read, and what is refused with which words."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import json
import os
import re
import subprocess
import sys
import threading
import zipfile
from collections import OrderedDict
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
import torch
from commands import ROOT
from mmengine import fileio
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.utils import digit_version

from swinv2_dense import SwinTransformerV2
from swinv2_dense.checkpoints.fetching import fetch
from swinv2_dense.checkpoints.reading import (
    CheckpointError,
    CheckpointNotFoundError,
    read_checkpoint_file,
    unwrap,
)

NUMPY2 = digit_version(np.__version__) >= digit_version('2.0.0')


class Payload:
    """Pickles as a call."""

    def __init__(self, function: object, *args: object) -> None:
        self.call = (function, args)

    def __reduce__(self) -> tuple:
        return self.call


def by_init_cfg(path: str) -> None:
    init_cfg = dict(type='Pretrained', checkpoint=path)
    SwinTransformerV2(init_cfg=init_cfg).init_weights()


DOORS = [read_checkpoint_file, CheckpointLoader.load_checkpoint, by_init_cfg]


@pytest.mark.parametrize('read', DOORS)
@pytest.mark.parametrize('legacy', [False, True], ids=['zip', 'legacy'])
def test_a_payload_does_not_run(tmp_path: Path, read: object, legacy: bool) -> None:
    trace, path = tmp_path / 'trace', tmp_path / 'payload.pth'
    checkpoint = dict(state_dict={}, meta=Payload(open, str(trace), 'w'))
    torch.save(checkpoint, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointError, match=f'{path}.*run code.*weights_only=False.*open'):
        read(str(path))
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists()  # so the payload is a real one


@pytest.mark.parametrize(
    'address', ['s3://bucket/x.pth', 'cluster:s3://b/x.pth', 'petrel://b/x.pth', 'pavi://x.pth']
)
def test_object_storage_is_read_safely(tmp_path: Path, monkeypatch, address: str) -> None:
    """The backends are not at hand; what they would fetch is."""
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


def test_names_of_model_zoos_are_read_safely(tmp_path: Path, monkeypatch, server) -> None:
    folder, address, _ = server
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    trace, name = tmp_path / 'trace', 'swin_zoo.pth'
    zoo = {'model': f'{address}/{name}', 'here': 'local.pth'}
    for function in ('get_mmcls_models', 'get_external_models'):
        monkeypatch.setattr(mmengine_checkpoint, function, lambda: zoo)
    monkeypatch.setattr(mmengine_checkpoint, '_get_mmengine_home', lambda: str(folder))
    for file in (name, 'local.pth'):
        torch.save(dict(meta=Payload(open, str(trace), 'w')), folder / file)
    for door in ('mmcls://model', 'open-mmlab://model', 'openmmlab://here'):
        with pytest.raises(Exception, match='run code|Weights only'):  # classic: torch's words
            CheckpointLoader.load_checkpoint(door)
    assert not trace.exists()


@pytest.mark.parametrize(
    'attribute, owner', [('__globals__', HistoryBuffer.update), ('__init__', HistoryBuffer)]
)
def test_getattr_reaches_nothing_else(tmp_path: Path, attribute: str, owner: object) -> None:
    path = tmp_path / 'payload.pth'
    torch.save(dict(meta=Payload(getattr, owner, attribute)), path)
    with pytest.raises(CheckpointError, match='run code.*not part of a training state'):
        read_checkpoint_file(path)


def test_arrays_of_the_other_numpy(tmp_path: Path) -> None:
    """A checkpoint written beside numpy 1 is read beside numpy 2, and the other way round."""
    history = HistoryBuffer([1.0, 2.0, 6.0], [1, 1, 1])
    counts = {code: np.array([1, 0], dtype=code) for code in '?bBhHiIqQefdF'}
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
            assert checkpoint['counts'][code].dtype == count.dtype
            assert (checkpoint['counts'][code] == count).all()


def weights() -> dict:
    return OrderedDict(weight=torch.arange(100.0), bias=torch.zeros(3, dtype=torch.bfloat16))


def whole(kind: str) -> bytes:
    """A small file with the weights above."""
    if kind == 'safetensors':
        return pytest.importorskip('safetensors.torch').save(dict(weights()))
    file = io.BytesIO()
    torch.save(weights(), file, _use_new_zipfile_serialization=kind == 'zip')
    return file.getvalue()


KINDS = ('zip', 'legacy', 'safetensors')


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('name', ['a.pth', 'a.safetensors', 'a'])
def test_the_content_tells_the_kind_not_the_name(tmp_path: Path, kind: str, name: str) -> None:
    (tmp_path / name).write_bytes(whole(kind))
    state = read_checkpoint_file(tmp_path / name)
    assert torch.equal(state['weight'], torch.arange(100.0))
    assert state['bias'].dtype is torch.bfloat16


@pytest.mark.parametrize('kind', KINDS)
def test_every_truncation_is_named(tmp_path: Path, kind: str) -> None:
    content, path = whole(kind), tmp_path / 'half.pth'
    for length in range(0, len(content), max(1, len(content) // 40)):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match='half.pth (is empty|cannot be|holds some)') as e:
            read_checkpoint_file(path)
        assert '\n' not in str(e.value)


@pytest.mark.parametrize('kind', KINDS)
def test_damage_raises_nothing_else(tmp_path: Path, kind: str) -> None:
    """Bytes overwritten at random: the file reads or is refused in one line."""
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
            'is the pointer .* git lfs pull',
        ),
        (b'{"message": "Not Found"}', 'cannot be read: it is no checkpoint'),
        (bytes(range(256)) * 8, 'cannot be read: it is no checkpoint'),
    ],
    ids=['empty', 'html', 'html-indented', 'lfs', 'json', 'noise'],
)
def test_what_is_no_checkpoint_is_named(tmp_path: Path, content: bytes, message: str) -> None:
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
        (dict(state_dict={}, state_dict_ema=inner), 'state_dict_ema'),
    ]:
        assert unwrap(checkpoint) == (inner, path)
    assert unwrap([1]) == ({}, '')


# -------------------------------------------------------------------------------------- addresses


@pytest.fixture
def server(tmp_path: Path):
    """A web server on this machine; its folder, its address, and what was asked of it."""
    folder, asked = tmp_path / 'served', []
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, form: str, *args: object) -> None:
            asked.append(args[0])

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield folder, f'http://127.0.0.1:{httpd.server_port}', asked
        httpd.shutdown()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    return tmp_path / 'torch' / 'hub' / 'checkpoints'


def test_a_url_is_downloaded_once_and_verified(server, cache: Path) -> None:
    folder, address, asked = server
    content = whole('zip')
    digest = hashlib.sha256(content).hexdigest()
    name = f'swin_v2_t-{digest[:8]}.pth'
    (folder / name).write_bytes(content)
    for _ in range(2):
        state = CheckpointLoader.load_checkpoint(f'{address}/{name}?download=1')
        assert torch.equal(state['weight'], torch.arange(100.0))
    assert len(asked) == 1
    assert [p.name for p in cache.iterdir()] == [name]

    wrong = f'swin_v2_s-{"0" * 8}.pth'
    (folder / wrong).write_bytes(content)
    with pytest.raises(CheckpointError, match=f'another sha256.*{digest}'):
        fetch(f'{address}/{wrong}')
    assert [p.name for p in cache.iterdir()] == [name]


def test_what_is_no_checkpoint_never_reaches_the_cache(server, cache: Path) -> None:
    folder, address, _ = server
    for name, content, message in [
        ('swin_page.pth', b'<html>', 'is a web page'),
        ('swin_half.pth', whole('zip')[:-200], 'cannot be read'),
        ('swin_empty.pth', b'', 'is empty'),
    ]:
        (folder / name).write_bytes(content)
        with pytest.raises(CheckpointError, match=f'{re.escape(address)}/{name} {message}'):
            fetch(f'{address}/{name}')
    trace = folder / 'trace'
    torch.save(dict(meta=Payload(open, str(trace), 'w')), folder / 'swin_payload.pth')
    for read in (CheckpointLoader.load_checkpoint, by_init_cfg):
        with pytest.raises(CheckpointError, match='swin_payload.pth .*run code'):
            read(f'{address}/swin_payload.pth')
    assert not trace.exists()
    assert list(cache.iterdir()) == []


def test_an_unreachable_url_says_where_to_put_the_file(server, cache: Path) -> None:
    _, address, _ = server
    place = re.escape(str(cache / 'swinv2_x.pth'))
    for url, reason in [
        (f'{address}/swinv2_x.pth', 'HTTP Error 404'),
        ('http://127.0.0.1:9/swinv2_x.pth', 'refused'),
    ]:
        with pytest.raises(CheckpointError, match=f'could not be downloaded: .*{reason}.*{place}'):
            fetch(url)
    cache.mkdir(parents=True, exist_ok=True)
    (cache / 'swinv2_x.pth').write_bytes(whole('zip'))
    assert fetch('http://127.0.0.1:9/swinv2_x.pth').path == cache / 'swinv2_x.pth'


def test_equal_file_names_of_two_repositories_do_not_collide(server, cache: Path) -> None:
    folder, address, _ = server
    for owner in ('a', 'b'):
        (folder / owner).mkdir()
        torch.save({owner: torch.zeros(1)}, folder / owner / 'model.safetensors')
    for owner in ('a', 'b'):
        state = CheckpointLoader.load_checkpoint(f'{address}/{owner}/{quote("model.safetensors")}')
        assert list(state) == [owner]


def hub_cache(home: Path, repo: str, files: dict[str, bytes]) -> None:
    """A folder as huggingface_hub leaves it after a download."""
    base = home / 'hub' / f'models--{repo.replace("/", "--")}'
    snapshot = base / 'snapshots' / ('1' * 40)
    snapshot.mkdir(parents=True)
    (base / 'refs').mkdir()
    (base / 'refs' / 'main').write_text('1' * 40)
    for name, content in files.items():
        (snapshot / name).write_bytes(content)


HUB = """
import sys
from swinv2_dense.checkpoints.fetching import fetch
try:
    file = fetch(sys.argv[1])
    print(file.path.name, file.config.get('window_size'))
except ValueError as error:
    print(type(error).__name__, error)
"""


def test_hub_models_come_from_the_cache_or_say_where_to_put_them(tmp_path: Path) -> None:
    """In a process of its own: huggingface_hub reads its settings when it is imported."""
    pytest.importorskip('huggingface_hub')
    hub_cache(tmp_path, 'owner/safe', {'model.safetensors': b'1', 'config.json': b'{}'})
    hub_cache(
        tmp_path, 'owner/bin', {'pytorch_model.bin': b'1', 'config.json': b'{"window_size": 8}'}
    )
    hub_cache(tmp_path, 'owner/mim', {'swinv2.pth': b'1'})
    environment = os.environ | dict(HF_HOME=str(tmp_path), HF_HUB_OFFLINE='1')

    def said(name: str) -> str:
        command = [sys.executable, '-W', 'ignore', '-c', HUB, name]
        return subprocess.run(
            command, env=environment, cwd=ROOT, text=True, capture_output=True, check=True
        ).stdout

    assert said('hf://owner/safe') == 'model.safetensors None\n'
    assert said('hf://owner/bin') == 'pytorch_model.bin 8\n'
    assert said('hf://owner/bin@main') == 'pytorch_model.bin 8\n'
    assert said('hf://owner/mim/swinv2.pth') == 'swinv2.pth None\n'
    missing = said('hf://owner/none')
    assert missing.startswith('CheckpointError checkpoint hf://owner/none could not be downloaded')
    assert 'https://huggingface.co/owner/none/resolve/main/model.safetensors by hand' in missing
    assert 'write hf://owner/name' in said('hf://owner')
