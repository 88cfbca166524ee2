"""Terminal output: ten lines at the start, no known warnings, one line after Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import re
import runpy
import shutil
import subprocess
import sys
import warnings

import pytest
from commands import ROOT
from mmengine.logging import MMLogger
from same_training import Training

from swinv2_dense.cli.options import PARSERS
from swinv2_dense.training.interruption import resume_command
from swinv2_dense.training.known_warnings import KNOWN_WARNINGS, silence_known_warnings
from swinv2_dense.training.terminal import on_terminal, quiet_start, quiet_warnings, started

TOOLS = sorted(path.stem for path in (ROOT / 'tools').glob('*.py'))
SHORT = 'train_cfg.max_epochs=2'  # of 7 steps
CASES = [  # texts and modules as the packages have them
    (UserWarning, 'pkg_resources is deprecated as an API.', 'mmengine.utils.package_utils'),
    (
        UserWarning,
        '``build_loss`` would be deprecated soon, please use ``mmseg.registry',
        'mmseg.models.builder',
    ),
    (
        UserWarning,
        'Default ``avg_non_ignore`` is False, if you would',
        'mmdet.models.losses.cross_entropy_loss',
    ),
    (
        UserWarning,
        'The draw is False, it means that the hook for visualization',
        'mmseg.engine.hooks.visualization_hook',
    ),
    (
        FutureWarning,
        '`torch.cuda.amp.GradScaler(args...)` is deprecated.',
        'mmengine.optim.optimizer.amp_optimizer_wrapper',
    ),
]


def shown(category: type[Warning], text: str, module: str) -> bool:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter('always')
        silence_known_warnings()
        warnings.warn_explicit(text, category, 'file.py', 1, module)
    return bool(seen)


@pytest.mark.parametrize(('category', 'text', 'module'), CASES)
def test_known_warnings_are_silent_by_name(category, text, module):
    assert not shown(category, text, module)
    assert shown(category, f'Something else. {text}', module)
    if not text.startswith('pkg_resources'):
        assert shown(category, text, f'mine.{module}')
        assert shown(category, text, 'mine')


def test_every_row_names_a_package_and_a_reason():
    for row in KNOWN_WARNINGS:
        assert row.package and row.reason and re.compile(row.message) and re.compile(row.module)
        assert len(row.message) > 10  # no row that fits any text


def test_processes_other_than_the_first_do_not_warn(monkeypatch):
    for rank, silent in ((0, False), (1, True)):
        monkeypatch.setenv('RANK', str(rank))
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter('always')
            quiet_warnings()
            warnings.warn('anything', stacklevel=1)
        assert bool(seen) is not silent


def test_records_before_the_start_stay_in_the_file(tmp_path, capsys):
    with quiet_start():
        logger = MMLogger('start', log_file=str(tmp_path / 'log'))
        logger.info('the config')
        logger.warning('a real warning')
        logger.warning('"FileClient" will be deprecated in future. Please use io functions in')
        on_terminal(logger, 'ten lines')
        started()
        logger.info('step 1')
    logger.info('after the run')
    lines = [line.split(' - ')[-1] for line in capsys.readouterr().out.splitlines()]
    assert lines == ['a real warning', 'ten lines', 'step 1', 'after the run']
    written = (tmp_path / 'log').read_text()
    assert 'the config' in written and 'FileClient' in written and 'ten lines' in written
    assert all(len(handler.filters) == 1 for handler in logger.handlers)  # mmengine's own
    assert logging.getLogger('other').filters == []


@pytest.mark.filterwarnings('ignore')
def test_ctrl_c_says_in_one_line_how_to_resume(tmp_path):
    """The workers of the loaders get the signal too, as from a terminal."""
    training = Training(tmp_path, 'by_epoch', SHORT)
    assert training.run('work', num_workers=2, FAULT='interrupt:9') == 130
    shown = training.terminal('work')
    assert 'Traceback' not in shown and 'KeyboardInterrupt' not in shown
    last = shown.splitlines()[-1]
    assert last.startswith(
        'interrupted; the last checkpoint is epoch_1.pth. Continue with: python '
    )
    assert last.endswith(f' {SHORT} --resume') and str(training.config) in last
    assert training.run('work', '--resume', FAULT='interrupt:7') == 130
    shown = training.terminal('work')[len(shown) :]
    assert f'resumed from {tmp_path / "work" / "epoch_1.pth"} at iteration 7, epoch 1' in shown


def test_the_command_to_resume_has_one_resume():
    begun = ['a config.py', '--seed', '3', '--cfg-options', 'a=1']
    expected = "python train.py 'a config.py' --seed 3 --cfg-options a=1 --resume"
    assert resume_command('train.py', begun) == expected
    for start in ('swinv2-dense train', 'python -m swinv2_dense train'):
        assert resume_command(start, ['x.py']) == f'{start} x.py --resume'
    assert resume_command('train.py', ['--resume', '--seed', 3, *begun[:1]]).count('--resume') == 1
    for flag in (['--resume', 'epoch_1.pth'], ['--resume=epoch_1.pth'], ['--resume']):
        assert resume_command('train.py', [*begun[:3], *flag, *begun[3:]]) == expected


HEAVY = ('torch', 'mmengine', 'numpy', 'cv2', 'swinv2_dense')
SUBCOMMANDS = [f'prepare_data {name}' for name in ('ade20k', 'coco', 'kinetics', 'objects365')]
LAST_LINE = f"""
import atexit, runpy, sys
atexit.register(lambda: print(*(name for name in {HEAVY} if name in sys.modules)))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name='__main__')
"""


@pytest.mark.parametrize('command', [*TOOLS, *SUBCOMMANDS])
def test_help_is_that_of_the_command_and_does_not_wait_for_torch(command, tmp_path, monkeypatch):
    """`--hel` is handled by the command's own parser, after all imports."""
    name, *words = command.split()
    path = str(ROOT / 'tools' / f'{name}.py')
    monkeypatch.setenv('COLUMNS', '80')
    call = [sys.executable, '-c', LAST_LINE, path, *words, '--help']
    result = subprocess.run(call, cwd=tmp_path, text=True, capture_output=True)
    assert result.returncode == 0, result.stderr
    *shown, imported = result.stdout.splitlines(keepends=True)
    assert imported == '\n'
    assert shown[0].startswith(f'usage: {name}.py')
    monkeypatch.setattr(sys, 'argv', [path, *words, '--hel'])
    printed = io.StringIO()
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(printed),
        pytest.raises(SystemExit) as end,
    ):
        runpy.run_path(path, run_name='__main__')
    assert end.value.code == 0
    assert ''.join(shown) == printed.getvalue()


def test_help_after_other_arguments(tmp_path):
    """The values of --cfg-options are not parsed, which would need mmengine."""
    call = [sys.executable, '-c', LAST_LINE, ROOT / 'tools' / 'train.py', 'config.py']
    call += ['--cfg-options', 'a.b=1', '--help']
    result = subprocess.run(call, cwd=tmp_path, text=True, capture_output=True)
    assert result.stdout.startswith('usage: train.py') and result.stdout.endswith('\n\n')


def test_a_copy_of_a_tool_uses_the_package_that_is_installed(tmp_path, monkeypatch, capsys):
    path = shutil.copy(ROOT / 'tools' / 'make_shapes.py', tmp_path)
    monkeypatch.setattr(sys, 'argv', [path, '--help'])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(path, run_name='__main__')
    assert end.value.code == 0 and capsys.readouterr().out.startswith('usage: make_shapes.py')


@pytest.mark.parametrize('name', PARSERS)
def test_every_option_is_explained_with_its_default(name):
    parser = PARSERS[name]()
    parsers = [parser]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            parsers += action.choices.values()
    for parser in parsers:
        assert parser.description
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                continue
            assert action.help, action.option_strings
            if action.default not in (None, False, [], argparse.SUPPRESS):
                assert 'default: ' in action.help or 'ignored' in action.help, action
        assert all(len(line) <= 80 for line in parser.description.splitlines())


@pytest.mark.parametrize('name', ['train', 'test', 'infer'])
def test_ctrl_c_while_the_package_is_imported(name, tmp_path):
    (tmp_path / 'swinv2_dense/cli').mkdir(parents=True)
    (tmp_path / 'swinv2_dense' / '__init__.py').write_text('raise KeyboardInterrupt')
    shutil.copy(ROOT / 'swinv2_dense/cli/launch.py', tmp_path / 'swinv2_dense/cli')
    environment = os.environ | dict(PYTHONPATH=str(tmp_path))
    command = [sys.executable, ROOT / 'tools' / f'{name}.py', 'config.py']
    result = subprocess.run(command, text=True, capture_output=True, env=environment)
    assert (result.returncode, result.stderr) == (130, 'interrupted\n')
