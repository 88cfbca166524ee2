"""Locks of files: one holder at a time, the next place if one has no locks, and none at all."""

from __future__ import annotations

import threading

import pytest

from swinv2_dense import file_locks
from swinv2_dense.checks.result_cache import cached
from swinv2_dense.file_locks import acquire, read, release, write


def test_one_holds_it_while_another_waits(tmp_path):
    places, waiting, order = [tmp_path / 'lock'], threading.Event(), []
    lock, before = acquire(places)
    assert before == ''
    write(lock, 'first')

    def contend() -> None:
        second, before = acquire(places, waiting.set)
        order.append(('second', before, read(second)))
        release(second)

    thread = threading.Thread(target=contend)
    thread.start()
    assert waiting.wait(10)
    order.append('first')
    write(lock, 'done')
    release(lock)
    thread.join(10)
    assert order == ['first', ('second', 'first', 'done')]


def test_the_next_place_is_taken_where_one_cannot_be_opened(tmp_path):
    lock, _ = acquire([tmp_path / 'missing' / 'lock', tmp_path / 'lock'])
    assert lock.name == str(tmp_path / 'lock')
    release(lock)
    assert acquire([tmp_path / 'missing' / 'lock']) == (None, '')


def test_without_locks_each_process_works_for_itself(tmp_path, monkeypatch: pytest.MonkeyPatch):
    """As on Windows, which has no fcntl. Results are still stored and found."""
    monkeypatch.setattr(file_locks, 'fcntl', None)
    monkeypatch.setenv('SWINV2_DENSE_CACHE', str(tmp_path))
    assert acquire([tmp_path / 'lock']) == (None, '')
    release(None)
    results = [cached('key', lambda n=n: dict(n=n), lambda _: True) for n in (1, 2)]
    assert results == [dict(n=1)] * 2
