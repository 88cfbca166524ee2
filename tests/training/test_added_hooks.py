"""The hooks that every run gets, and the config entry that changes and disables them."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import HOOKS

import swinv2_dense  # noqa: F401  registers hooks
from swinv2_dense.cli.options import PARSERS
from swinv2_dense.config_parts import type_name
from swinv2_dense.errors import ConfigError
from swinv2_dense.resilience.unreadable_samples import skip_unreadable
from swinv2_dense.task import Task
from swinv2_dense.tasks import MODULES, task_of
from swinv2_dense.training.added_hooks import add_hooks

# The hooks of any task, in the order in which mmengine calls them if their priorities are equal.
COMMON = [
    'CheckFilesHook',
    'BackboneWeightsHook',
    'LoadReportHook',
    'ResultsHook',
    'ExpectedValuesHook',
    'ResumeSettingsHook',
    'StartReportHook',
    'CheckBatchNormHook',
    'UndefinedMetricsHook',
    'ResumeHook',
    'PreemptionHook',
    'PendingValidationHook',
    'CheckpointClassesHook',
    'DataFaultsHook',
    'NonFiniteHook',
]


def hooks_of(cfg: Config, task: Task | None = None) -> dict[str, dict]:
    """The custom hooks after the addition, by type; each must be there once."""
    add_hooks(cfg, task or Task())
    names = [type_name(hook) for hook in cfg.custom_hooks]
    assert len(names) == len({*names}), names
    return dict(zip(names, cfg.custom_hooks))


def config(hooks: object = (), **added: object) -> Config:
    return Config(dict(custom_hooks=list(hooks), added_hooks=added))


def test_defaults_and_order():
    assert [*hooks_of(Config(dict()))] == COMMON


@pytest.mark.parametrize(
    ('scope', 'checks', 'last', 'samples'),
    [
        ('mmdet', ['CheckImagesHook'], ['DetectorFp32Hook'], 'images'),
        ('mmseg', ['CheckImagesHook', 'CheckLabelMapsHook'], [], 'images'),
        ('mmaction', [], ['Fp32ScoresHook'], 'videos'),
    ],
)
def test_hooks_of_each_task(scope, checks, last, samples):
    pytest.importorskip(scope)
    assert scope in MODULES
    hooks = hooks_of(Config(dict()), task_of(dict(default_scope=scope)))
    assert [*hooks] == [COMMON[0], *checks, *COMMON[1:], *last]
    assert hooks['StartReportHook'].samples == samples
    assert all(name in HOOKS for name in COMMON)


def test_hooks_of_the_config_come_first():
    hooks = [dict(type='EMAHook'), dict(type='NonFiniteHook', max_in_a_row=3)]
    found = hooks_of(config(hooks))
    assert [*found] == ['EMAHook', 'NonFiniteHook', *COMMON[:-1]]
    assert found['NonFiniteHook'].max_in_a_row == 3


def test_false_disables_a_hook_also_of_a_saved_config():
    hooks = [dict(type='PreemptionHook'), dict(type='EMAHook')]
    found = hooks_of(config(hooks, PreemptionHook=False, StartReportHook=False, ResultsHook=True))
    assert {*found} == {'EMAHook', *COMMON} - {'PreemptionHook', 'StartReportHook'}


def test_arguments_arrive_also_in_a_hook_of_the_config():
    hooks = [dict(type='DataFaultsHook', tolerated=1, interval=2)]
    added = dict(DataFaultsHook=dict(tolerated=7), NonFiniteHook=dict(max_in_a_row=20))
    found = hooks_of(config(hooks, **added, StartReportHook=dict(samples='clips')))
    assert found['DataFaultsHook'] == dict(type='DataFaultsHook', tolerated=7, interval=2)
    assert HOOKS.build(found['NonFiniteHook']).max_in_a_row == 20
    assert found['StartReportHook'].samples == 'clips'


@pytest.mark.parametrize(
    ('added', 'message'),
    [
        (
            dict(NonFinitHook=False),
            "added_hooks.NonFinitHook: no hook .* is added.*; did you mean 'NonFiniteHook'?",
        ),
        (dict(Unlike=False), 'added_hooks.Unlike: no hook of this name is added to runs$'),
        (dict(ResultsHook=3), r'added_hooks.ResultsHook=3 must be False, or a dict of its argum'),
    ],
)
def test_mistakes_are_named(added, message):
    with pytest.raises(ConfigError, match=message):
        add_hooks(config(**added), Task())


def test_the_saved_config_lists_all_and_gives_the_same_hooks(tmp_path: Path):
    cfg = config([dict(type='EMAHook')], ResultsHook=False, NonFiniteHook=dict(max_in_a_row=20))
    first = hooks_of(cfg)
    cfg.dump(tmp_path / 'saved.py')
    saved = Config.fromfile(tmp_path / 'saved.py')
    assert {*saved.added_hooks} == {*COMMON}
    assert saved.added_hooks.ResultsHook is False and saved.added_hooks.ResumeHook is True
    assert saved.added_hooks.NonFiniteHook == dict(max_in_a_row=20)
    assert hooks_of(saved) == first


@pytest.mark.parametrize(
    ('old', 'new', 'task'),
    [
        ('MissedValidationHook', 'PendingValidationHook', None),
        ('Fp32BordersHook', 'DetectorFp32Hook', 'mmdet'),
    ],
)
def test_hooks_under_earlier_names_are_not_added_twice(old, new, task):
    if task is not None:
        pytest.importorskip(task)
        task = task_of(dict(default_scope=task))
    found = hooks_of(config([dict(type=old)]), task)
    assert new in found and old not in found


def test_skipping_unreadable_samples_overrides_the_config():
    for cfg in (Config(dict()), config(DataFaultsHook=False), config(DataFaultsHook=True)):
        skip_unreadable(cfg)
        assert hooks_of(cfg)['DataFaultsHook'].skip_in_test is True
    cfg = config([dict(type='DataFaultsHook', tolerated=2)], DataFaultsHook=dict(interval=3))
    skip_unreadable(cfg)
    expected = dict(type='DataFaultsHook', tolerated=2, interval=3, skip_in_test=True)
    assert hooks_of(cfg)['DataFaultsHook'] == expected


@pytest.mark.parametrize('command', ['train', 'test'])
def test_help_names_the_config_entry(command):
    assert 'added_hooks' in PARSERS[command]().format_help()
