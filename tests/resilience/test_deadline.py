"""Decoders that hang: the call times out, the file is named, training continues, SIGTERM works."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from clips import write_clip

import swinv2_dense  # noqa: F401  patches imports of mmaction2

pytest.importorskip('mmaction')
pytest.importorskip('av')

from broken_data import runner, videos
from mmcv.transforms import BaseTransform

from swinv2_dense.resilience.deadline import DeadlineError, call_with_deadline
from swinv2_dense.video import decoding

LIMIT = 0.3  # seconds


def sleep(_: object = None) -> None:
    """A hang that a signal could interrupt."""
    time.sleep(30)


def pause(_: object = None) -> None:
    """A hang in C, like decord's, which no signal interrupts."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        ctypes.CDLL(None).usleep(500_000)


@pytest.mark.parametrize('hang', [sleep, pause])
def test_a_call_that_hangs_is_abandoned(hang):
    start, name = time.monotonic(), hang.__name__
    with pytest.raises(DeadlineError, match=rf'^{name}: no result after 0.3 s$'):
        call_with_deadline(hang, LIMIT, name)
    threads = threading.active_count()
    with pytest.raises(DeadlineError, match=rf'^{name}: an earlier attempt still hangs$'):
        call_with_deadline(hang, LIMIT, name)
    assert threading.active_count() == threads
    assert call_with_deadline(lambda: 3, LIMIT, 'b.mp4') == 3
    assert time.monotonic() - start < 5


def test_results_and_errors_pass_through():
    array = np.arange(3)
    assert call_with_deadline(lambda: array, LIMIT, 'a') is array
    with pytest.raises(KeyError, match='b'):
        call_with_deadline(lambda: {}['b'], LIMIT, 'a')
    with pytest.raises(SystemExit):
        call_with_deadline(lambda: exec('raise SystemExit'), LIMIT, 'a')


def test_signals_are_handled_while_a_call_hangs():
    """In the main thread, as in a training without workers."""
    came: list[float] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: came.append(time.monotonic()))
    try:
        start = time.monotonic()
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        with pytest.raises(DeadlineError):
            call_with_deadline(sleep, 0.6, 'signalled.mp4')
        assert came[0] - start < 0.4
    finally:
        signal.signal(signal.SIGUSR1, before)


class HangingOn(BaseTransform):
    """Wraps another transform, and hangs on one file."""

    def __init__(self, name: str, step: BaseTransform) -> None:
        self.name, self.step = name, step

    def transform(self, results: dict) -> dict:
        if Path(results['filename']).name == self.name:
            pause()
        return self.step(results)


@pytest.mark.parametrize('transform', ['VideoInit', 'VideoDecode'])
def test_the_file_the_time_and_the_setting_are_named(tmp_path, transform):
    path = write_clip(tmp_path / f'{transform}.mp4')
    init = decoding.VideoInit('pyav', timeout=LIMIT)
    decode = decoding.VideoDecode(timeout=LIMIT)
    steps = init.openers if transform == 'VideoInit' else decode.decoders
    steps['pyav'] = HangingOn(path.name, steps['pyav'])
    start = time.monotonic()
    with pytest.raises(ValueError) as error:
        decode(init(dict(filename=str(path))) | dict(frame_inds=np.array([0, 1])))
    assert time.monotonic() - start < 3
    message = str(error.value)
    assert str(path) in message and f'(timeout=0.3 of {transform})' in message
    # Two frames add half a second to the limit.
    assert f'no result after {0.3 if transform == "VideoInit" else 0.8} s' in message


def test_time_must_be_positive():
    for kind in (decoding.VideoInit, decoding.VideoDecode):
        with pytest.raises(ValueError, match=f'timeout=0 of {kind.__name__}'):
            kind(timeout=0)


def test_a_file_system_that_hangs(tmp_path):
    """Opening a pipe without a writer blocks."""
    os.mkfifo(tmp_path / 'pipe.mp4')
    init = decoding.VideoInit('pyav', timeout=LIMIT)
    with pytest.raises(ValueError, match=r'pipe.mp4: no result after 0.3 s'):
        init(dict(filename=str(tmp_path / 'pipe.mp4')))
    os.close(os.open(tmp_path / 'pipe.mp4', os.O_WRONLY))  # let the thread go


@pytest.mark.parametrize('workers', [0, 1])
def test_training_continues_with_other_samples(tmp_path, monkeypatch, workers):
    names = [f'{workers}{i}.mp4' for i in range(6)]
    for name in names:
        write_clip(tmp_path / 'clips' / name)
    lines = ''.join(f'{name} {i % 2}\n' for i, name in enumerate(names))
    (tmp_path / 'clips/all.txt').write_text(lines)
    read = decoding.FrameReader.read

    def hang(self: object, wanted: list[int]) -> dict:
        return pause() if Path(self.path).name == names[2] else read(self, wanted)

    monkeypatch.setattr(decoding.FrameReader, 'read', hang)
    monkeypatch.setattr(decoding, 'SECONDS_PER_FRAME', 0)
    data = videos(tmp_path / 'clips')
    data['pipeline'][2]['timeout'] = 1
    start = time.monotonic()
    run = runner('mmaction', tmp_path / 'run', train=data, workers=workers)
    run.train()
    assert run.iter == 6  # two epochs of three batches
    assert time.monotonic() - start < 25
    (listed,) = (tmp_path / 'run').glob('*/data_faults.jsonl')
    (fault,) = map(json.loads, listed.read_text().splitlines())
    assert Path(fault['sample']).name == names[2]
    assert 'no result after 1 s (timeout=1 of VideoDecode)' in fault['reason']
