"""Atomic writes: the old file or the new one, whatever fails, and no drafts left behind."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from forked import run_code

from swinv2_dense.atomic_files import replacing, write_bytes


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_write_replaces_the_file(tmp_path):
    path = tmp_path / 'a.pth'
    for content in (b'old' * 100, b'new'):
        write_bytes(path, content)
        assert path.read_bytes() == content
    assert names(tmp_path) == ['a.pth']
    assert path.stat().st_mode & 0o777 == 0o666 & ~os.umask(os.umask(0o22))


@pytest.mark.parametrize('error', [OSError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_the_old_file(tmp_path, error):
    path = tmp_path / 'a.pth'
    path.write_bytes(b'old')
    with pytest.raises(error), replacing(path) as draft:
        draft.write_bytes(b'half')
        raise error
    assert path.read_bytes() == b'old' and names(tmp_path) == ['a.pth']


def test_a_sync_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / 'a.pth'
    write_bytes(path, b'old')
    monkeypatch.setattr(os, 'fsync', lambda _: (_ for _ in ()).throw(OSError(5, 'Input/output')))
    with pytest.raises(OSError, match='Input/output'):
        write_bytes(path, b'new')
    assert path.read_bytes() == b'old' and names(tmp_path) == ['a.pth']


def test_the_file_is_synced_before_the_rename_and_the_folder_after_it(tmp_path, monkeypatch):
    events = []
    replace = os.replace
    monkeypatch.setattr(os, 'fsync', lambda file: events.append(os.path.isdir(file)))
    monkeypatch.setattr(os, 'replace', lambda *a: (events.append('rename'), replace(*a)))
    write_bytes(tmp_path / 'a', b'')
    assert events == [False, 'rename', True]
    events.clear()
    with replacing(tmp_path / 'a', durable=False) as draft:
        draft.touch()
    assert events == ['rename']


def test_a_folder_appears_complete_or_not_at_all(tmp_path):
    root = tmp_path / 'data'
    with pytest.raises(ValueError), replacing(root) as draft:
        draft.mkdir()
        (draft / 'a').touch()
        raise ValueError
    assert names(tmp_path) == []
    with replacing(root) as draft:
        draft.mkdir()
        (draft / 'a').touch()
    assert names(tmp_path) == ['data'] and names(root) == ['a']


@pytest.mark.parametrize('name', ['a' * 251 + '.png', 'ü' * 125 + '.png'])
@pytest.mark.parametrize('keep_suffix', [True, False])
def test_the_longest_names_can_be_written(tmp_path, name, keep_suffix):
    with replacing(tmp_path / name, keep_suffix=keep_suffix) as draft:
        draft.touch()
        assert (draft.suffix == '.png') is keep_suffix
        assert bool([*tmp_path.glob('*.png')]) is keep_suffix
    assert names(tmp_path) == [name]


def test_errors_name_the_file_and_not_the_draft(tmp_path):
    path = tmp_path / 'missing' / 'a'
    with pytest.raises(FileNotFoundError) as error:
        write_bytes(path, b'')
    assert error.value.filename == str(path)


WRITER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from swinv2_dense.atomic_files import write_bytes
for _ in range(100):
    write_bytes(Path(sys.argv[1]), sys.argv[2].encode())
"""


def test_processes_that_write_one_file_do_not_mix(tmp_path):
    """Every rank writes the metrics of a test, and the times in them differ."""
    path, texts = tmp_path / 'a.json', ['short', 'long' * 999]
    found = set()
    with ThreadPoolExecutor() as pool:
        writers = [pool.submit(run_code, WRITER, path, text) for text in texts]
        while not all(writer.done() for writer in writers):
            if path.exists():
                found.add(path.read_text())
    assert [writer.result().returncode for writer in writers] == [0, 0]
    assert found and found <= set(texts)
    assert names(tmp_path) == ['a.json']
