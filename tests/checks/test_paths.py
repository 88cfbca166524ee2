"""Paths of a command line are checked before anything slow, without creating anything."""

from __future__ import annotations

import os
import stat

import pytest
import torch
from commands import ROOT, run_here

from swinv2_dense.checkpoints.writing import write
from swinv2_dense.checks.paths import (
    check_checkpoint,
    check_writable,
    check_writable_file,
    saved_config,
)
from swinv2_dense.cli.browse_dataset import main as browse
from swinv2_dense.cli.infer import main as infer
from swinv2_dense.cli.plot_log import main as plot_log
from swinv2_dense.cli.test import main as run_test
from swinv2_dense.cli.train import main as train
from swinv2_dense.errors import ConfigError
from swinv2_dense.quickstart.folders import write_whole

CONFIG = str(next((ROOT / 'configs/quickstart').glob('htc*.py')))


def test_writable_folders(tmp_path):
    check_writable('--out', tmp_path / 'a' / 'b' / 'c')
    check_writable_file('--out', tmp_path / 'a' / 'b.png')
    assert list(tmp_path.iterdir()) == []


def test_folders_that_are_not_writable(tmp_path):
    file = tmp_path / 'file'
    file.write_text('')
    for place in (file, file / 'below', file / 'below' / 'that'):
        with pytest.raises(
            ConfigError, match=rf"^--out='{place}': {file} is a file; give a folder"
        ):
            check_writable('--out', place)
    with pytest.raises(ConfigError, match=r'/proc is not writable \(.*\); give another'):
        check_writable('--out', '/proc/x')
    with pytest.raises(ConfigError, match='is a folder; give a file'):
        check_writable_file('--out', tmp_path)
    if os.geteuid():  # permissions do not bind root
        tmp_path.chmod(0o500)
        with pytest.raises(ConfigError, match='Permission denied'):
            check_writable('--out', tmp_path / 'x')
        tmp_path.chmod(0o700)


@pytest.fixture
def below_a_file(tmp_path) -> str:
    (tmp_path / 'file').write_text('')
    (tmp_path / 'x.pth').write_bytes(b'')
    return str(tmp_path / 'file' / 'out')


def test_all_commands_fail_fast(below_a_file, tmp_path):
    weights = str(tmp_path / 'x.pth')
    log = tmp_path / 'scalars.json'
    log.write_text('{"loss": 1.0, "step": 1}\n')
    commands = {
        '--work-dir': (train, [CONFIG, '--work-dir', below_a_file]),
        '--show-dir': (run_test, [CONFIG, weights, '--show-dir', below_a_file]),
        '--dump': (run_test, [CONFIG, weights, '--dump', f'{below_a_file}/x.pkl']),
        '--out-dir': (infer, [CONFIG, weights, str(tmp_path), '--out-dir', below_a_file]),
        '--output-dir': (browse, [CONFIG, '--output-dir', below_a_file]),
        '--out': (plot_log, [str(log), '--out', f'{below_a_file}/x.png']),
    }
    for argument, (command, argv) in commands.items():
        with pytest.raises(ConfigError, match=f'^{argument}=.*is a file; give a folder'):
            command(argv)


@pytest.mark.parametrize('tool, argv', [('analyze', ['gone.py']), ('plan', ['gone.py'])])
def test_usage_errors_have_status_2(tool, argv):
    result = run_here(tool, *argv)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("error: config 'gone.py' does not exist")


def test_usage_errors_of_the_generator(below_a_file):
    result = run_here('make_shapes', '--out', below_a_file)
    assert result.returncode == 2 and "error: --out='" in result.stderr


def test_checkpoints_in_arguments(tmp_path):
    (tmp_path / 'epoch_12.pth').write_bytes(b'')
    check_checkpoint('CHECKPOINT', str(tmp_path / 'epoch_12.pth'))
    check_checkpoint('CHECKPOINT', str(tmp_path))  # sharded
    check_checkpoint('CHECKPOINT', 'https://example.org/x.pth')
    with pytest.raises(ConfigError, match=r"^CHECKPOINT='.*13.pth': .* did you mean '.*12.pth'\?"):
        check_checkpoint('CHECKPOINT', str(tmp_path / 'epoch_13.pth'))
    with pytest.raises(ConfigError, match='the order is CONFIG CHECKPOINT'):
        run_test([CONFIG, CONFIG])
    for command, argv in (
        (run_test, [CONFIG, 'nope.pth']),
        (infer, [CONFIG, 'nope.pth', str(tmp_path)]),
    ):
        with pytest.raises(ConfigError, match="^CHECKPOINT='nope.pth': there is no such file"):
            command(argv)
    with pytest.raises(ConfigError, match="^--resume='nope.pth': there is no such file"):
        train([CONFIG, '--resume', 'nope.pth'])


def test_the_config_next_to_the_checkpoint(tmp_path):
    work_dir = tmp_path / 'work'
    work_dir.mkdir()
    (work_dir / 'epoch_1.pth').write_bytes(b'')
    own = tmp_path / 'own.py'
    own.write_text(
        'a = 1\n'
        "classes = __import__('swinv2_dense').own_data.read_class_names('data/gone/classes.txt')\n"
        "default_scope = 'mmdet'\n"
    )
    argv = [str(own), str(work_dir / 'epoch_1.pth'), str(tmp_path)]
    argv += ['--out-dir', str(tmp_path / 'out')]
    with pytest.raises(ConfigError, match='class names ') as error:
        infer(argv)
    assert 'saved next to' not in str(error.value)
    (work_dir / 'own.py').write_text('')
    with pytest.raises(ConfigError, match=r'Or use .*work/own\.py, which training saved next to'):
        infer(argv)
    assert saved_config(str(work_dir / 'epoch_1.pth'), str(work_dir / 'own.py')) is None


@pytest.mark.parametrize('umask', [0o022, 0o077, 0o002])
def test_modes_follow_the_umask(umask, tmp_path):
    checkpoint = dict(state_dict=dict(a=torch.zeros(2)), meta={})
    before = os.umask(umask)
    try:
        write(checkpoint, tmp_path / 'x.safetensors')
        write(checkpoint, tmp_path / 'x.pth')
        write_whole(tmp_path / 'data', lambda folder: (folder / 'x').write_text(''))
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    file = 0o666 & ~umask
    assert modes == {'x.safetensors': file, 'x.pth': file, 'data': 0o777 & ~umask}
