"""The demo: answers equal those of the infer command, and the page works in a browser."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from commands import ROOT, run_here
from quickstart_runs import write_run
from remote_browser import Tab, open_tab

from swinv2_dense.cli.infer import build_inferencer, parse, read_model_config
from swinv2_dense.inference.demo import Demo, table

VALUE = "Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set"


@pytest.mark.parametrize('task', ['detection', pytest.param('video', marks=pytest.mark.slow)])
def test_answers_are_the_files_of_the_infer_command(task, tmp_path):
    pytest.importorskip('decord' if task == 'video' else 'mmcv')
    config, weights = write_run(tmp_path, task)
    pattern = '*.mp4' if task == 'video' else 'val/*.png'
    file = min((tmp_path / 'data').rglob(pattern))
    result = run_here(
        'infer', config, weights, file, '--score-thr', 0.1, '--out-dir', tmp_path / 'out'
    )
    assert result.returncode == 0, result.stderr[-2000:]
    expected = json.loads(next((tmp_path / 'out/predictions').iterdir()).read_text())
    args = parse([str(config), str(weights), 'INPUT'])
    (tmp_path / 'results').mkdir()
    inferencer = build_inferencer(read_model_config(args), args)
    demo = Demo(inferencer, task == 'video', tmp_path / 'results')
    answer = demo.answer(file, None if task == 'video' else 0.1)
    assert json.loads(answer.record.read_text()) == {**expected, 'input': file.name}
    (picture,) = (tmp_path / 'out/pictures').iterdir()
    assert answer.picture.read_bytes() == picture.read_bytes()
    if task == 'detection':
        assert answer.header == ['class', 'score', 'x1', 'y1', 'x2', 'y2']
        assert [row[0] for row in answer.rows] == expected['names'] != []
        high = demo.answer(file, max(expected['scores']) + 0.01)
        assert high.rows == []
    else:
        assert answer.rows[0][0] == expected['top'][0]['name']
    for _ in range(4):
        demo.answer(file)
    assert len(list((tmp_path / 'results').iterdir())) == 4  # a server runs for days


def test_tables_of_all_kinds_of_predictions():
    areas = dict(areas=[dict(label=1, name='sky', pixels=30), dict(label=0, name='sea', pixels=10)])
    assert table(areas) == (['class', 'area in %'], [['sky', 75.0], ['sea', 25.0]])
    video = dict(frames_per_second=25.0, frames=[areas, areas])
    header, rows = table(video)
    assert header == ['frame', 'class', 'area in %'] and rows[2] == [1, 'sky', 75.0]
    assert table(dict(masked_l1=0.5, mask=[[1]])) == (['value', 'number'], [['masked_l1', 0.5]])


def test_wrong_use_ends_in_one_line(tmp_path, monkeypatch):
    (tmp_path / 'x.pth').write_bytes(b'')
    monkeypatch.setitem(sys.modules, 'gradio', None)
    for words, message in (
        ([tmp_path / 'none.pth'], 'there is no such file'),
        ([tmp_path / 'x.pth'], 'pip install "gradio'),
    ):
        result = run_here('demo', *words)
        assert result.returncode == 2 and message in result.stderr
        assert len(result.stderr.splitlines()) == 1


@contextmanager
def demo(*words: object) -> Iterator[tuple[str, subprocess.Popen]]:
    """The running command; its address."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    command = [sys.executable, '-W', 'ignore', 'tools/demo.py', *words, '--port', port]
    process = subprocess.Popen(
        list(map(str, command)), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, env={**os.environ, 'OMP_NUM_THREADS': '1'},
    )  # fmt: skip
    try:
        for line in process.stdout:
            if line.startswith('Open http'):
                break
        else:
            pytest.fail('the demo ended')
        yield line.split()[1], process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def choose(tab: Tab, file: Path) -> None:
    """Drop a file, whether or not one is there."""
    clear = "document.querySelector('#upload button[aria-label=Clear], #upload .icon-button')"
    tab.value(f'{clear} && {clear}.click()')
    tab.wait("document.querySelector('#upload input[type=file]') !== null")
    tab.upload('#upload input[type=file]', file)


@pytest.mark.slow
def test_the_page_works_in_a_browser(samples, tmp_path):
    pytest.importorskip('gradio')
    config, weights = write_run(tmp_path, 'detection')
    photo = min((samples / 'coco_mini/val2017').glob('*.jpg'))
    clip = min((samples / 'kinetics_mini').rglob('*.mp4'))
    (tmp_path / 'broken.jpg').write_bytes(b'not an image')
    (tmp_path / 'large.jpg').write_bytes(bytes(3 << 20))
    rows = "document.querySelectorAll('#table tbody tr').length"
    with (
        demo(config, weights, '--score-thr', 0.1, '--max-upload', 2) as (address, process),
        open_tab(address) as tab,
    ):
        choose(tab, photo)
        tab.wait("(document.querySelector('#picture img') || {}).naturalWidth > 0")
        link = tab.wait("(document.querySelector('#json a') || {}).href")
        record = json.loads(urllib.request.urlopen(link).read())
        assert record['input'] == photo.name and len(record['scores']) > 0
        tab.wait(f'{rows} > 0')
        tab.value(f"""(() => {{
            const input = document.querySelector('#threshold input[type=number]');
            ({VALUE}).call(input, '1');
            for (const name of ['input', 'change', 'blur', 'pointerup']) {{
                input.dispatchEvent(new Event(name, {{ bubbles: true }}));
            }}
        }})()""")
        tab.wait(f"document.querySelector('#json a').href !== '{link}'")
        link = tab.value("document.querySelector('#json a').href")
        assert json.loads(urllib.request.urlopen(link).read())['scores'] == []
        choose(tab, tmp_path / 'broken.jpg')
        tab.wait("document.body.innerText.includes('broken.jpg: ')")
        choose(tab, tmp_path / 'large.jpg')
        tab.wait('/exceed the maximum allowed size/.test(document.body.innerText)')
        choose(tab, clip)
        tab.wait("(document.querySelector('#video video') || {}).readyState > 0", 180)
        # gradio asks for the progress of uploads that are done.
        assert [error for error in tab.errors if 'upload_progress' not in error] == []
        assert all(url.startswith((address, 'data:', 'blob:')) for url in tab.asked), tab.asked
        width = tab.value('[document.documentElement.scrollWidth, innerWidth]')
        assert width[0] <= width[1]
    assert process.returncode == 0
