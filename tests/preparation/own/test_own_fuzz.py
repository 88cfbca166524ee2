"""Damaged annotation files of any format are read or end in a ConfigError, never in a traceback."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

import pytest
from format_writers import OBJECT_WRITERS, Scene, Thing
from fuzzing import amounts, for_all
from hypothesis import strategies as st

from swinv2_dense.errors import ConfigError
from swinv2_dense.preparation.own.prepare import Options, prepare

POLYGON = Thing('cat', (4.0, 6.0, 32.0, 24.0), ((4.0, 6.0, 36.0, 6.0, 20.0, 30.0),))
SCENES = [Scene(f'{stem}.jpg', 80, 60, (POLYGON, POLYGON._replace(label='dog'))) for stem in 'abc']
ANNOTATIONS = ('.json', '.txt', '.xml', '.yaml')
VALUES = ('null', '-1', '1e999', '""', '[]', '{}', '"x"', '99999999999999999999', '0.5', 'true')
CHANGES = st.tuples(
    st.sampled_from(['cut', 'drop', 'value', 'repeat']),
    st.integers(0, 10**6),  # which file
    st.floats(0, 1),  # where
    st.integers(1, 40),  # characters
    st.sampled_from(VALUES),
)


def damage(text: str, kind: str, where: float, length: int, value: str) -> str:
    start = int(where * len(text))
    if kind == 'cut':
        return text[:start]
    if kind == 'drop':
        return text[:start] + text[start + length :]
    if kind == 'repeat':
        return text[: start + length] + text[start:]
    numbers = list(re.finditer(r'"[^"]*"|-?[\d.]+|\[[^\[\]]*\]', text)) or [re.search('$', text)]
    found = numbers[min(len(numbers) - 1, int(where * len(numbers)))]
    return text[: found.start()] + value + text[found.end() :]


@amounts(10, 1000)
@pytest.mark.parametrize('name', OBJECT_WRITERS)
def test_damaged_files(name, examples, tmp_path):
    OBJECT_WRITERS[name](tmp_path / 'sound', SCENES)

    def check(change: tuple) -> None:
        kind, number, where, length, value = change
        with tempfile.TemporaryDirectory() as folder:
            root = shutil.copytree(tmp_path / 'sound', Path(folder) / 'src')
            files = sorted(path for path in root.rglob('*') if path.suffix in ANNOTATIONS)
            path = files[number % len(files)]
            path.write_text(damage(path.read_text(), kind, where, length, value))
            try:
                found = prepare(root, Options()).found
            except ConfigError as error:
                assert '\n' not in str(error)
                return
            for sample in found.samples:
                for entry in sample.objects:
                    x, y, w, h = entry.box
                    assert 0 <= x < x + w <= 80.001 and 0 <= y < y + h <= 60.001
                    assert entry.label in found.classes

    for_all(CHANGES, check, examples)
