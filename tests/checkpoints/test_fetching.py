"""Fetching checkpoints: URLs, the Hugging Face hub, names of model zoos; caches and checksums."""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from checkpoint_files import Payload, by_init_cfg, whole
from commands import ROOT
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as mmengine_checkpoint

from swinv2_dense.checkpoints.fetching import fetch
from swinv2_dense.errors import CheckpointError


@pytest.fixture
def server(tmp_path: Path):
    """A local web server; its folder, its address, and the requests that it got."""
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


def kept(cache: Path) -> list[str]:
    """The files in a cache, except the locks of failed downloads."""
    return [path.name for path in cache.iterdir() if path.suffix != '.lock']


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
    with pytest.raises(CheckpointError, match=f'does not match its name.*{digest}'):
        fetch(f'{address}/{wrong}')
    assert kept(cache) == [name]


def test_other_files_never_reach_the_cache(server, cache: Path) -> None:
    folder, address, _ = server
    for name, content, message in [
        ('swin_page.pth', b'<html>', 'is a web page'),
        ('swin_half.pth', whole('zip')[:-200], 'cannot be read'),
        ('swin_empty.pth', b'', 'is empty'),
    ]:
        (folder / name).write_bytes(content)
        url = f'{address}/{name}'
        with pytest.raises(CheckpointError, match=f'{re.escape(url)} {message}'):
            fetch(url)
    trace = folder / 'trace'
    torch.save(dict(meta=Payload(open, str(trace), 'w')), folder / 'swin_payload.pth')
    for read in (CheckpointLoader.load_checkpoint, by_init_cfg):
        with pytest.raises(CheckpointError, match='swin_payload.pth .*run code'):
            read(f'{address}/swin_payload.pth')
    assert not trace.exists()
    assert kept(cache) == []


def test_an_unreachable_url_says_where_to_put_the_file(server, cache: Path) -> None:
    _, address, _ = server
    name = f'swinv2_x-{hashlib.sha256(whole("zip")).hexdigest()[:8]}.pth'
    place = re.escape(str(cache / name))
    for url, reason in [
        (f'{address}/{name}', 'HTTP Error 404'),
        (f'http://127.0.0.1:9/{name}', 'refused'),
        (f'http://127.0.0.1:9/ /{name}', 'control characters'),
    ]:
        with pytest.raises(CheckpointError, match=f'could not be downloaded: .*{reason}.*{place}'):
            fetch(url)
    cache.mkdir(parents=True, exist_ok=True)
    (cache / name).write_bytes(whole('zip'))
    assert fetch(f'http://127.0.0.1:9/{name}').path == cache / name
    (cache / name).write_bytes(whole('legacy'))
    with pytest.raises(CheckpointError, match='does not match its name; delete it'):
        fetch(f'http://127.0.0.1:9/{name}')


def test_a_date_is_not_a_checksum_and_official_names_are_kept(server, cache: Path) -> None:
    folder, address, _ = server
    (folder / 'upernet_swinv2-20240131.pth').write_bytes(whole('zip'))
    assert fetch(f'{address}/upernet_swinv2-20240131.pth').path.is_file()
    url = 'https://github.com/SwinTransformer/storage/releases/download/v2.0.0/swinv2_x.pth'
    (cache / 'swinv2_x.pth').write_bytes(whole('zip'))
    assert fetch(url).path == cache / 'swinv2_x.pth'


def test_equal_file_names_of_two_repositories_do_not_collide(server, cache: Path) -> None:
    folder, address, _ = server
    for owner in ('a', 'b'):
        (folder / owner).mkdir()
        for name in ('model.safetensors', 'swinv2_mine.pth'):
            torch.save({owner: torch.zeros(1)}, folder / owner / name)
    for owner in ('a', 'b'):
        for name in ('model.safetensors', 'swinv2_mine.pth'):
            assert list(CheckpointLoader.load_checkpoint(f'{address}/{owner}/{name}')) == [owner]


def test_names_of_model_zoos_are_read_safely(tmp_path, monkeypatch, server, cache) -> None:
    folder, address, _ = server
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
for name in sys.argv[1:]:
    try:
        file = fetch(name)
        print(file.path.name, file.config.get('window_size'))
    except ValueError as error:
        print(type(error).__name__, error)
"""


def test_hub_models_come_from_the_cache_or_say_where_to_put_them(tmp_path: Path) -> None:
    """In a separate process, because huggingface_hub reads its settings on import."""
    pytest.importorskip('huggingface_hub')
    hub_cache(tmp_path, 'owner/safe', {'model.safetensors': b'1', 'config.json': b'{}'})
    hub_cache(
        tmp_path, 'owner/bin', {'pytorch_model.bin': b'1', 'config.json': b'{"window_size": 8}'}
    )
    hub_cache(tmp_path, 'owner/mim', {'swinv2.pth': b'1'})
    environment = os.environ | dict(HF_HOME=str(tmp_path), HF_HUB_OFFLINE='1')

    found = {
        'hf://owner/safe': 'model.safetensors None',
        'hf://owner/bin': 'pytorch_model.bin 8',
        'hf://owner/bin/pytorch_model.bin': 'pytorch_model.bin 8',
        'hf://owner/bin@main': 'pytorch_model.bin 8',
        'hf://owner/mim/swinv2.pth': 'swinv2.pth None',
    }
    command = [sys.executable, '-W', 'ignore', '-c', HUB, *found, 'hf://owner/none', 'hf://owner']
    *said, missing, incomplete = subprocess.run(
        command, env=environment, cwd=ROOT, text=True, capture_output=True, check=True
    ).stdout.splitlines()
    assert said == list(found.values())
    assert missing.startswith('CheckpointError checkpoint hf://owner/none could not be downloaded')
    assert 'https://huggingface.co/owner/none/resolve/main/model.safetensors yourself' in missing
    assert 'write hf://owner/name' in incomplete
