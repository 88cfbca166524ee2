"""Errors in a config file take one line, with the file, the line and the nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest

import swinv2_dense
from swinv2_dense.checks.config_file import load_config_file
from swinv2_dense.errors import ConfigError

BASE = "num_classes = 3\nmodel = dict(backbone=dict(type='X', arch='t'))\n"
READ_BASE = 'from mmengine.config import read_base\nwith read_base():\n    from .base import *\n'
# Files to write, and what the message about the last of them says.
MISTAKES = {
    'dict over a string': (
        dict(own="_base_ = 'base.py'\nmodel = dict(backbone=dict(arch=dict(embed_dims=8)))\n"),
        "own.py: model.backbone.arch is a dict here but 't' in the base",
    ),
    'string over a dict, below': (
        dict(mid="_base_ = 'base.py'\nmodel = 'x'\n", own="_base_ = 'mid.py'\nmodel = dict(a=1)\n"),
        "own.py: model is a dict here but 'x' in the base",
    ),
    'syntax': (dict(own='a = 1\nmodel = dict(a=1\n'), "own.py, line 2: '(' was never closed"),
    'syntax of a base': (
        dict(bad='a = = 1\n', own="_base_ = 'bad.py'\n"),
        'bad.py, line 1: invalid syntax: a = = 1',
    ),
    'undefined name': (
        dict(own='num_classes = 3\nmodel = dict(a=num_clases)\n'),
        "own.py, line 2: NameError: name 'num_clases' is not defined; did you mean 'num_classes'?",
    ),
    'undefined name of a base': (
        dict(own="_base_ = 'base.py'\na = 1\nb = _base_.modell\n"),
        "own.py, line 3: AttributeError: 'ConfigDict' object has no attribute 'modell'; did you "
        "mean 'model'?",
    ),
    'an error in a function': (
        dict(own='def half(x):\n    return x / 0\n\na = half(1)\n'),
        'own.py, line 2: ZeroDivisionError: division by zero',
    ),
    'two bases with a key': (
        dict(other='model = dict(a=1)\n', own="_base_ = ['base.py', 'other.py']\n"),
        "own.py: two of its bases set 'model': base.py and other.py",
    ),
    'missing base': (
        dict(own="_base_ = ['bsae.py']\n"),
        "own.py: its base 'bsae.py' does not exist; did you mean 'base.py'?",
    ),
    'circle': (
        dict(one="_base_ = 'two.py'\n", two="_base_ = 'own.py'\n", own="_base_ = 'one.py'\n"),
        'its bases form a circle, own.py -> one.py -> two.py -> own.py',
    ),
    'its own base': (dict(own="_base_ = 'own.py'\n"), 'circle, own.py -> own.py'),
    'missing module': (
        dict(own="custom_imports = dict(imports=['swinv2_dense.modells'])\n"),
        "custom_imports: there is no module 'swinv2_dense.modells'; did you mean "
        "'swinv2_dense.models'?",
    ),
    'misspelled key of imports': (
        dict(own="custom_imports = dict(import_=['os'])\n"),
        'must be dict(imports=[MODULE, ...])',
    ),
    'undefined name, lazy': (
        dict(own=f'{READ_BASE}a = num_clases\n'),
        "own.py, line 4: NameError: name 'num_clases' is not defined; did you mean 'num_classes'?",
    ),
    'a call of what is imported': (
        dict(own='from swinv2_dense.engine import read_classes\na = read_classes(1)\n'),
        'own.py, line 2: a config cannot call what it imports with an import statement',
    ),
    'syntax, lazy': (dict(own=f'{READ_BASE}a = (\n'), "own.py, line 4: '(' was never closed"),
}


def message(path: str) -> str:
    with pytest.raises(ConfigError) as error:
        load_config_file(path)
    text = str(error.value)
    assert len(text.splitlines()) == 1 and len(text) < 500
    return text


@pytest.mark.parametrize('name', MISTAKES)
def test_mistakes_in_a_config(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files, said = MISTAKES[name]
    for stem, text in {'base': BASE, **files}.items():
        Path(f'{stem}.py').write_text(text)
    assert said in message('own.py')


def test_a_failing_module_is_not_reported_as_missing(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'broken_module_of_a_config.py').write_text('a = 1\nimport no_such_module_at_all\n')
    own = tmp_path / 'own.py'
    own.write_text("custom_imports = dict(imports=['broken_module_of_a_config'])\n")
    text = message(str(own))
    assert "importing 'broken_module_of_a_config' failed: ModuleNotFoundError" in text
    assert 'broken_module_of_a_config.py, line 2' in text


def test_what_is_not_a_config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('base.py').write_text(BASE)
    Path('x.pth').write_bytes(b'PK')
    Path('x.txt').write_text('')
    Path('binary.py').write_bytes(b'\xff\xfe\x00')
    Path('x.json').write_text('{a')
    assert message('bsae.py') == "config 'bsae.py' does not exist; did you mean 'base.py'?"
    assert message('x.pth') == "config 'x.pth' is a checkpoint; the config (.py) comes first"
    assert 'is a folder; give a file, e.g. ./base.py' in message('.')
    assert "config 'x.txt' must end in one of .py" in message('x.txt')
    assert 'binary.py: UnicodeDecodeError' in message('binary.py')
    assert 'line 1 column 2' in message('x.json')
    assert "there is no folder 'gone'" in message('gone/x.py')


def test_the_nearest_configs_of_the_package():
    with pytest.raises(FileNotFoundError) as error:
        swinv2_dense.config_path('detection/mask-rcnn_swinv2-t-w16_1xb4-bf16-2x_coco.py')
    text = str(error.value)
    assert "'detection/mask-rcnn_swinv2-t-w16_1xb4-bf16-1x_coco.py'" in text
    assert text.count('_coco') <= 4 and 'configs' in text.partition('All are in ')[2]
