"""What the processes of a run share when they start: downloads, checks of files, and errors."""

from __future__ import annotations

import errno
import fcntl
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from commands import SUPPORT
from forked import run_scripts
from sharded_runs import initial_state
from start_jobs import CASES, KINDS

from swinv2_dense.checkpoints.fetching import fetch
from swinv2_dense.checks.files import files_below, missing_files
from swinv2_dense.errors import CheckpointError, ConfigError
from swinv2_dense.own_data.class_folders import labelled_videos
from swinv2_dense.training.prefetch import prefetch

JOBS = SUPPORT / 'start_jobs.py'
FOLDERS, IMAGES = 5, 8
SLOWNESS = 0.5  # seconds until the server answers, in which the others begin to wait


@contextmanager
def serve(file: Path) -> Iterator[tuple[str, Counter]]:
    """A web server with one checkpoint under every name but those of failures: its address, and the
    number of requests by name.
    """
    torch.save(dict(state_dict=initial_state()), file)
    content, asked = file.read_bytes(), Counter()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked[self.path[1:]] += 1
            if not self.path.startswith(('/zero1', '/fsdp')):  # there only rank 0 asks
                time.sleep(SLOWNESS)
            if 'missing' in self.path:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header('Content-Length', str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if 'cut' in self.path else content)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{httpd.server_port}', asked
        httpd.shutdown()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    with serve(tmp_path / 'served.pth') as (address, asked):
        yield address, asked


class Started(NamedTuple):
    """What each process wrote, and what the server was asked for."""

    found: list[dict]
    address: str
    asked: Counter
    folder: Path


@pytest.fixture(scope='module', params=[2, pytest.param(4, marks=pytest.mark.slow)])
def started(tmp_path_factory, request) -> Started:
    size, folder = request.param, tmp_path_factory.mktemp('started')
    for number in range(FOLDERS * IMAGES):
        image = folder / f'images/{number // IMAGES}/{number}0.jpg'
        image.parent.mkdir(parents=True, exist_ok=True)
        image.touch()
    env = {**os.environ, 'TORCH_HOME': str(folder / 'torch')}
    with serve(folder / 'served.pth') as (address, asked):
        args = [(rank, size, folder, address) for rank in range(size)]
        # Without locks they waited for each other forever.
        results = run_scripts(JOBS, args, [env] * size, limit=200)
    for result in results:
        assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    found = [json.loads((folder / f'{rank}.json').read_text()) for rank in range(size)]
    return Started(found, address, asked, folder)


def test_one_process_downloads_and_all_start_or_all_end(started):
    """Under DDP all processes initialize the model, under ZeRO-1 and FSDP only rank 0."""
    results = started.found[0]['models']
    assert all(other['models'] == results for other in started.found)
    cases = [(kind, case) for kind in KINDS for case in CASES]
    assert started.asked == {f'{kind}-{case}.pth': 1 for kind, case in set(cases)}
    sums = [result for (_, case), result in zip(cases, results) if case == 'there']
    head = sum(torch.arange(n).sin().sum().item() for n in (3 * 16, 3))  # Classifier's own
    state = initial_state()
    backbone = sum(v.double().sum().item() for k, v in state.items() if k.startswith('backbone.'))
    assert sums == pytest.approx([head + backbone] * 6, abs=2e-3)
    for (kind, case), result in zip(cases, results):
        url = f'{started.address}/{kind}-{case}.pth'
        message = dict(
            missing=f'CheckpointError: {url} could not be downloaded: HTTP Error 404',
            cut=f'CheckpointError: checkpoint {url} cannot be read',
        ).get(case, f'CheckpointError: the sha256 of {url} does not match its name')
        assert case == 'there' or result.startswith(message)


def test_folders_are_listed_once_on_a_machine(started):
    """No process asks for a single file."""
    calls = [found['files']['calls'] for found in started.found]
    assert sum(call['scandir'] for call in calls) == FOLDERS
    assert max(call['scandir'] for call in calls) <= -(-FOLDERS // len(calls))
    assert all(call.get('stat', 0) == 0 for call in calls)


def test_missing_files_end_all_processes(started):
    first = started.folder / 'images/0/0x.jpg'
    for found in started.found:
        assert found['files']['errors'].startswith(
            f'ConfigError: train_dataloader: {FOLDERS * IMAGES} annotated files do not '
            f'exist, first {first}. '
        )


def test_an_error_of_one_process_is_raised_in_all(started):
    *others, last = (found['alone'] for found in started.found)
    known = ['ConfigError: key=1 is wrong', 'CheckpointError: no file']
    assert last == [*known, 'OSError: disk is full']
    quoted = f'RuntimeError: process {len(others)}: OSError: disk is full'
    assert all(other == [*known, quoted] for other in others)


def test_all_processes_resume_what_the_first_one_found(started):
    """Network file systems may show other machines an older state of the work directory."""
    checkpoint = str(started.folder / 'seen_0_True' / 'epoch_1.pth')
    for found in started.found:
        assert found['resumed'] == [[True, checkpoint], [False, None]]


def test_those_that_wait_have_the_error_of_the_one_that_failed(server):
    """Threads, whose locks exclude each other as those of processes do."""
    address, asked = server

    def error(_: int) -> str:
        with pytest.raises(CheckpointError) as raised:
            fetch(f'{address}/missing.pth', progress=False)
        return str(raised.value)

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(error, range(4)))) == 1
    assert asked == {'missing.pth': 1}
    error(0)  # whoever comes later tries again
    assert asked == {'missing.pth': 2}


HOLDER = """
import fcntl, sys
with open(sys.argv[1], 'a') as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    print('holding', flush=True)
    sys.stdin.read()
"""


def test_a_lock_ends_with_its_process(server, tmp_path):
    address, asked = server
    cache = tmp_path / 'cache'
    cache.mkdir()
    name = fetch(f'{address}/a.pth', cache, progress=False).path.name
    (cache / name).unlink()
    asked.clear()
    lock = cache / f'.{name}.lock'
    command = [sys.executable, '-W', 'ignore', '-c', HOLDER, lock]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as holder:
        assert holder.stdout.readline() == 'holding\n'
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(fetch, f'{address}/a.pth', cache, False)
            time.sleep(0.3)
            assert not waiting.done() and not asked
            holder.send_signal(signal.SIGKILL)
            assert waiting.result(timeout=30).path.is_file()
    assert [path.name for path in cache.iterdir()] == [name]


def test_file_systems_without_locks(server, tmp_path, monkeypatch):
    """The processes of a machine share a lock elsewhere."""
    address, asked = server
    flock = fcntl.flock

    def refusing(file, operation: int) -> None:
        if str(tmp_path) in file.name:
            raise OSError(errno.ENOSYS, 'Function not implemented')
        flock(file, operation)

    monkeypatch.setattr(fcntl, 'flock', refusing)
    with ThreadPoolExecutor(3) as pool:
        urls = [f'{address}/a.pth'] * 3
        assert len({found.path for found in pool.map(fetch, urls)}) == 1
    assert asked == {'a.pth': 1}


def test_a_run_downloads_all_that_it_reads_before_its_processes_are_joined(server):
    address, asked = server
    own = dict(type='Pretrained', checkpoint='here.pth')
    cfg = dict(
        load_from=f'{address}/whole.pth',
        model=dict(
            backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=f'{address}/backbone.pth')),
            neck=[dict(init_cfg=[dict(type='PretrainedInit', checkpoint=f'{address}/neck.pth')])],
            head=dict(pretrained=f'{address}/head.pth', init_cfg=own),
        ),
    )
    prefetch(cfg, training=False)
    assert set(asked) == {'whole.pth'}
    prefetch(cfg, training=True)
    assert asked == {f'{name}.pth': 1 for name in ('whole', 'backbone', 'neck', 'head')}


def test_what_a_listing_does_not_tell(tmp_path, monkeypatch):
    """Links, folders that cannot be listed, and other spellings, as `os.path.exists` sees them."""
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a/x.jpg').touch()
    (tmp_path / 'a/link.jpg').symlink_to('x.jpg')
    (tmp_path / 'a/broken.jpg').symlink_to('gone.jpg')
    (tmp_path / 'to_a').symlink_to('a')
    monkeypatch.chdir(tmp_path / 'a')
    names = ['a/x.jpg', 'a/link.jpg', 'a/broken.jpg', 'to_a/x.jpg', 'a/../a/x.jpg', 'no/x.jpg']
    names += ['a/x.jpg/y.jpg', 'a/X.jpg', 'a/broken.jpg']
    paths = ['x.jpg', 'y.jpg', *(f'{tmp_path}/{name}' for name in names)]
    expected = list(dict.fromkeys(path for path in paths if not os.path.exists(path)))
    assert missing_files(paths) == expected and len(expected) == 5
    listing = os.scandir

    def refusing(path: str):
        if str(path).endswith('a'):
            raise PermissionError(errno.EACCES, 'Permission denied', path)
        return listing(path)

    monkeypatch.setattr(os, 'scandir', refusing)
    assert missing_files(paths) == expected


def test_searching_ends_in_loops_of_links(tmp_path):
    (tmp_path / 'a/b').mkdir(parents=True)
    for name in ('x.jpg', 'a/y.jpg', 'a/b/z.jpg', 'a/.hidden.jpg'):
        (tmp_path / name).touch()
    links = {'a/b/up': '../..', 'self': 'self', 'other': 'a/b', 'a/w.jpg': '../x.jpg'}
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    expected = ['a/b/z.jpg', 'a/w.jpg', 'a/y.jpg', 'other/z.jpg', 'x.jpg']
    assert sorted(files_below(str(tmp_path))) == expected
    left_out = [str(tmp_path / 'a/b')]
    assert sorted(files_below(str(tmp_path), left_out)) == ['a/w.jpg', 'a/y.jpg', 'x.jpg']
    with pytest.raises(ConfigError, match='not_there.* cannot be listed: No such file'):
        list(files_below(str(tmp_path / 'not_there')))


def test_videos_in_folders_are_listed_without_asking_for_each(tmp_path, monkeypatch):
    for label in ('a', 'b'):
        for number in range(10):
            video = tmp_path / label / f'part_{number % 2}' / f'{number}.mp4'
            video.parent.mkdir(parents=True, exist_ok=True)
            video.touch()
        (tmp_path / label / '._0.mp4').touch()
    asked, stat = [], os.stat
    monkeypatch.setattr(os, 'stat', lambda path, **kw: asked.append(str(path)) or stat(path, **kw))
    found = labelled_videos(str(tmp_path), ('a', 'b'))
    assert len(found) == 20
    assert not any(path.endswith('.mp4') for path in asked)
