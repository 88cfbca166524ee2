"""The fragments of configs/_base_ combine with each other, in any order."""

from __future__ import annotations

import importlib.util
import itertools
import re
from pathlib import Path

import pytest
from commands import ROOT
from mmengine.config import Config

from swinv2_dense.cli.common import read_config
from swinv2_dense.config_parts import merge_custom_hooks

BASE = ROOT / 'configs' / '_base_'
# Of different tasks, so that no config takes both.
APART = {
    ('datasets/ade20k_640x640_ms.py', 'tta/htc++_ms-600-1600.py'),
    ('datasets/ade20k_640x640_ms.py', 'tta/ten-crop_256.py'),
    ('runtime/segmentation.py', 'tta/htc++_ms-600-1600.py'),
    ('runtime/segmentation.py', 'tta/ten-crop_256.py'),
    ('runtime/classification.py', 'schedules/adamw_160k.py'),
    ('runtime/classification.py', 'schedules/adamw_40k.py'),
    ('runtime/classification.py', 'schedules/adamw_80k.py'),
    ('runtime/pretraining.py', 'schedules/adamw_160k.py'),
    ('runtime/pretraining.py', 'schedules/adamw_40k.py'),
    ('runtime/pretraining.py', 'schedules/adamw_80k.py'),
    ('runtime/video.py', 'schedules/adamw_160k.py'),
    ('runtime/video.py', 'schedules/adamw_40k.py'),
    ('runtime/video.py', 'schedules/adamw_80k.py'),
}
ADDED = [BASE / 'schedules' / f'{name}.py' for name in ('ema', 'zero1', 'fsdp')]


def kind_of(name: str) -> str:
    """A config uses one fragment of each kind: a model, a schedule, a sharding."""
    folder, _, file = name.partition('/')
    parts = dict(adamw='schedule', ema='average')
    return parts.get(re.split(r'[_.]', file)[0], 'sharding') if folder == 'schedules' else folder


def keys_of(path: Path) -> set[str]:
    """The keys that a config and its bases define, without reading data."""
    text = path.read_text()
    keys = {*re.findall(r'^(\w+) = ', text, re.M)} - {'_base_'}
    for base in re.findall(r"'([^']*\.py)'", text.partition('_base_ = ')[2].partition('\n\n')[0]):
        library, _, name = base.rpartition('::')
        if library:
            found = importlib.util.find_spec(library)
            folder = Path(found.origin).parent / '.mim' / 'configs' if found else None
            keys |= keys_of(folder / name) if folder else set()
        else:
            keys |= keys_of(path.parent / name)
    return keys


def test_no_two_of_different_kinds_define_the_same_key():
    paths = sorted(BASE.glob('*/*.py'))
    keys = {path.relative_to(BASE).as_posix(): keys_of(path) for path in paths}
    pairs = itertools.combinations(keys, 2)
    collide = {(a, b) for a, b in pairs if kind_of(a) != kind_of(b) and keys[a] & keys[b]}
    assert collide == APART


def loaded(folder: Path, *bases: Path) -> Config:
    path = folder / 'mine.py'
    scope = 'mmseg' if any(base.stem == 'adamw_160k' for base in bases) else 'mmdet'
    path.write_text(f'_base_ = {[str(base) for base in bases]}\ndefault_scope = {scope!r}\n')
    return read_config(str(path))


@pytest.mark.parametrize('added', ADDED, ids=lambda path: path.stem)
def test_fragments_that_extend_any_config(added, tmp_path):
    """In both orders, with each fragment that sets hooks, and with whole configs."""
    others = [path for path in BASE.glob('models/*.py') if 'custom_hooks' in path.read_text()]
    others += [ADDED[0], BASE / 'schedules/adamw_160k.py', *ROOT.glob('configs/quickstart/htc*.py')]
    assert len(others) == 7
    for other in others:
        if other != added:
            one, two = loaded(tmp_path, added, other), loaded(tmp_path, other, added)
            assert one.to_dict() == two.to_dict()
            hooks = [hook['type'] for hook in one.get('custom_hooks', [])]
            assert ('EMAHook' in hooks) is ('ema.py' in (added.name, other.name))
            assert ('DetectorFp32Hook' in hooks) is (other.parent.name == 'models')
            assert not [key for key in one if key.startswith('custom_hooks_')]


def test_lists_of_hooks_are_merged_and_the_config_wins():
    cfg = Config(
        dict(
            custom_hooks=[dict(type='EMAHook', momentum=0.5)],
            custom_hooks_ema=[dict(type='EMAHook', momentum=0.1)],
            custom_hooks_mine=[dict(type='A'), dict(type='B')],
        )
    )
    merge_custom_hooks(cfg)
    merge_custom_hooks(cfg)
    assert [hook.type for hook in cfg.custom_hooks] == ['EMAHook', 'A', 'B']
    assert cfg.custom_hooks[0].momentum == 0.5
    merge_custom_hooks(cfg := Config(dict(model=dict(type='X'))))
    assert 'custom_hooks' not in cfg
