"""`expected` of a config: mistakes are found before the start, and tests are compared with it."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from commands import run_here
from mmengine.config import Config
from toy_task import Regressor, write_config

from swinv2_dense.checkpoints.pretrained_windows import release_name
from swinv2_dense.checks.config_file import load_config_file
from swinv2_dense.checks.expected_values import check_expected_values, expected_values
from swinv2_dense.errors import ConfigError
from swinv2_dense.training.expected import ExpectedValuesHook

GOOD = dict(metric='coco/bbox_mAP', value=0.511, tolerance=0.002, source='Table 1')


def config(*entries: object, **evaluator: object) -> Config:
    return Config(dict(expected=list(entries), test_evaluator=dict(type='CocoMetric', **evaluator)))


@pytest.mark.parametrize(
    ('entry', 'message'),
    [
        (3, r'expected\[0\]=3 must be a dict such as'),
        (GOOD | dict(tolerence=1), r"expected\[0\].tolerence=1: there is no.*mean 'tolerance'"),
        (GOOD | dict(metric=None), r'expected\[0\] needs metric, a text'),
        (GOOD | dict(metric=1), r'expected\[0\].metric=1 must be a str'),
        (GOOD | dict(source=''), r"expected\[0\].source='' must be a str"),
        (GOOD | dict(tta=1), r'expected\[0\].tta=1 must be a bool'),
        (GOOD | dict(value='51.1'), r"expected\[0\].value='51.1' must be a finite number"),
        (GOOD | dict(value=float('nan')), 'must be a finite number'),
        (GOOD | dict(value=True), 'must be a finite number'),
        (GOOD | dict(tolerance=-0.1), r'tolerance=-0.1 must not be negative'),
        (GOOD | dict(tolerance=None), 'needs value and tolerance, or .*; it has value'),
        (GOOD | dict(at_least=0.5), 'it has value, tolerance, at_least'),
        (dict(metric='coco/bbox_mAP', source='x'), 'it has none of them'),
        (dict(metric='coco/bbox_mAP', source='x', at_least=1, tolerance=1), 'tolerance, at_least'),
        (
            GOOD | dict(metric='coco/bbox_mAp'),
            "no metric 'coco/bbox_mAp'; did you mean 'coco/bbox_mAP'.; it reports coco/bbox_mAP, ",
        ),
    ],
)
def test_mistakes_are_named_before_the_start(entry: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_expected_values(config(entry))


def test_metrics_that_only_the_data_tell_are_not_refused() -> None:
    apples = GOOD | dict(metric='coco/bbox_apple_precision')
    check_expected_values(config(apples, classwise=True))
    check_expected_values(config(apples), loaders=('train',))
    with pytest.raises(ConfigError, match='no metric'):
        check_expected_values(config(apples))


@pytest.mark.parametrize(
    ('bounds', 'inside', 'outside'),
    [
        (dict(value=81.8, tolerance=0.1), (81.7, 81.8, 81.9), (81.69, 81.91)),
        (dict(at_least=0.6), (0.6, 0.9), (0.59,)),
        (dict(at_most=0.6), (0.6, 0.1), (0.61,)),
    ],
)
def test_bounds_belong_to_the_range(bounds: dict, inside: tuple, outside: tuple) -> None:
    (entry,) = expected_values(dict(expected=dict(metric='x', source='y', **bounds)))
    assert all(entry.includes(value) for value in inside)
    assert not any(entry.includes(value) for value in outside)


def test_entries_for_a_checkpoint_and_for_tta() -> None:
    cfg = config(GOOD | dict(checkpoint='swinv2_small_1k_500k'), GOOD | dict(tta=True))
    named, tta = expected_values(cfg)
    for path in (
        'swinv2_small_1k_500k.pth',
        '/a/b.c/swinv2_small_1k_500k.safetensors',
        'hf://zdaxie/SimMIM/models/swinv2_small_1k_500k.pth',
        'https://host/swinv2_small_1k_500k.pth?download=true',
    ):
        name = release_name(path)
        assert named.applies(name, tta=False) and tta.applies(name, tta=True)
        assert not named.applies(name, tta=True) and not tta.applies(name, tta=False)
    assert not named.applies('swinv2_small_1k_125k', tta=False)


# -------------------------------------------------------------------------- tests of a whole task


@pytest.fixture(scope='module')
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A config of the toy task, and a checkpoint that predicts 0 for every image."""
    folder = tmp_path_factory.mktemp('toy')
    path = write_config(folder, 'toy_task')
    model = Regressor(load_config_file(str(path)).model.backbone)
    torch.nn.init.zeros_(model.last.weight)
    torch.nn.init.zeros_(model.last.bias)
    torch.save(dict(state_dict=model.state_dict()), folder / 'zero.pth')
    return path, folder / 'zero.pth'


def outcome(files: tuple[Path, Path], tmp_path: Path, expected: str) -> tuple[int, str]:
    """Exit status and output of tools/test.py with that entry."""
    path, checkpoint = files
    changed = tmp_path / f'{tmp_path.name}.py'  # mmengine names a run by config and second
    changed.write_text(f'{path.read_text()}\nexpected = {expected}\n')
    result = run_here('test', changed, checkpoint, '--work-dir', tmp_path / 'work')
    (log,) = (tmp_path / 'work').glob('*/*.log')
    return result.returncode, log.read_text() + result.stderr


IN, OUT = ['within tolerance'], ['OUT OF TOLERANCE']
ERROR = (10 + 90 + 170 + 250) / 4 / 255  # of the prediction 0


def test_table_of_measured_and_expected(files: tuple[Path, Path], tmp_path: Path) -> None:
    entries = (
        "[dict(metric='brightness/error', value=0.51, tolerance=0.01, source='by hand'),"
        "dict(metric='brightness/error', value=0.5, tolerance=0.001, source='Table 9'),"
        "dict(metric='brightness/error', at_most=0.6, source='goal'),"
        "dict(metric='brightness/error', at_least=0.9, source='other goal'),"
        "dict(metric='brightness/error', at_least=0.9, source='of TTA', tta=True)]"
    )
    code, printed = outcome(files, tmp_path, entries)
    table = printed[printed.index('Expected values') :].splitlines()
    assert [re.split(r'\s{2,}', line.strip()) for line in table[1:7]] == [
        ['metric', 'measured', 'expected', 'difference', 'source'],
        ['brightness/error', f'{ERROR:.4f}', '0.51 +- 0.01', '-0.0002', *IN, 'by hand'],
        ['brightness/error', f'{ERROR:.4f}', '0.5 +- 0.001', '+0.0098', *OUT, 'Table 9'],
        ['brightness/error', f'{ERROR:.4f}', 'at most 0.6', '-0.0902', 'reached', 'goal'],
        ['brightness/error', f'{ERROR:.4f}', 'at least 0.9', '-0.3902', 'MISSED', 'other goal'],
        table[6].split('  ')[:1],
    ]
    assert 'Not as expected' in table[6] and 'of TTA' not in '\n'.join(table)
    assert code == 0


def test_a_result_as_expected_needs_no_explanation(files: tuple, tmp_path: Path) -> None:
    entry = "dict(metric='brightness/error', value=0.51, tolerance=0.01, source='by hand')"
    _, printed = outcome(files, tmp_path, entry)
    assert 'within tolerance' in printed and 'Not as expected' not in printed


def test_a_metric_that_the_test_does_not_report(files: tuple, tmp_path: Path) -> None:
    entry = "dict(metric='brightness/eror', value=1, tolerance=0.1, source='by hand')"
    code, printed = outcome(files, tmp_path, entry)
    assert code == 2 and printed.endswith(
        "error: expected: the test reports no metric 'brightness/eror'; did you mean "
        "'brightness/error'?; it reports brightness/error\n"
    )
    assert 'Results' in printed  # the measurements are not lost


def test_a_test_without_metrics_compares_nothing() -> None:
    """Such as one that only writes predictions for a server."""
    hook, runner = ExpectedValuesHook(), SimpleNamespace(cfg=dict(expected=GOOD))
    hook.after_test_epoch(runner, {})
    hook.after_run(runner)
    check_expected_values(config(GOOD | dict(metric='coco/x'), format_only=True))


def test_values_of_another_checkpoint(files: tuple, tmp_path: Path) -> None:
    entry = (
        "dict(metric='brightness/error', value=1, tolerance=0, source='x', checkpoint='swinv2_b')"
    )
    _, printed = outcome(files, tmp_path, entry)
    assert 'no expected values for' in printed and 'zero.pth without --tta' in printed
