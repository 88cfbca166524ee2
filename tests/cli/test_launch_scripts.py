"""tools/dist_*.sh and tools/slurm_*.sh: the programs that they start, replaced by recorders."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from commands import ROOT

SCRIPTS = ('dist_train', 'dist_test', 'slurm_train', 'slurm_test')
RECORDER = '#!/bin/sh\nprintf "%s\\n" "$0" "$@" > "{log}"\nexit 7\n'
VARIABLES = (
    *('NNODES', 'NODE_RANK', 'PORT', 'MASTER_ADDR', 'GPUS', 'GPUS_PER_NODE', 'CPUS_PER_TASK'),
    *('SRUN_ARGS', 'PY_ARGS', 'PYTHON'),
)


class Tree:
    """The scripts in a folder with a space in its name, and recorders for the programs."""

    def __init__(self, folder: Path) -> None:
        self.root, self.bin, self.log = folder / 'a tree', folder / 'bin', folder / 'log.txt'
        (self.root / 'tools').mkdir(parents=True)
        for path in (ROOT / 'tools').glob('*.sh'):
            shutil.copy(path, self.root / 'tools')
        for name in ('python', 'srun'):
            self.add(self.bin / name)

    def add(self, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(RECORDER.format(log=self.log))
        path.chmod(0o755)
        return path

    def run(self, name: str, *words: str, **variables: str) -> subprocess.CompletedProcess:
        kept = {key: value for key, value in os.environ.items() if key not in VARIABLES}
        path = os.pathsep.join([str(self.bin), kept['PATH']])
        command = ['bash', str(self.root / 'tools' / f'{name}.sh'), *words]
        env = {**kept, 'PATH': path, **variables}
        return subprocess.run(command, env=env, text=True, capture_output=True, timeout=60)

    def started(self, name: str, *words: str, **variables: str) -> list[str]:
        """The program and arguments that a script runs; it must exit with the program's status."""
        result = self.run(name, *words, **variables)
        assert result.returncode == 7, result.stderr
        return self.log.read_text().splitlines()


@pytest.fixture
def tree(tmp_path) -> Tree:
    return Tree(tmp_path)


@pytest.mark.parametrize('name, files', [('train', ['a b.py']), ('test', ['a b.py', 'c d.pth'])])
def test_torchrun(tree, name, files):
    rest = ['--cfg-options', 'a.b=(1, 2)', 'c=']
    assert tree.started(f'dist_{name}', *files, '4', *rest) == [
        *(str(tree.bin / 'python'), '-m', 'torch.distributed.run'),
        *('--nnodes=1', '--node-rank=0', '--master-addr=127.0.0.1', '--master-port=29500'),
        *('--nproc-per-node=4', f'{tree.root}/tools/{name}.py', *files, '--launcher', 'pytorch'),
        *rest,
    ]
    several = dict(NNODES='3', NODE_RANK='2', MASTER_ADDR='node0', PORT='1234')
    words = tree.started(f'dist_{name}', *files, '8', **several)
    expected = ['--nnodes=3', '--node-rank=2', '--master-addr=node0', '--master-port=1234']
    assert words[3:8] == [*expected, '--nproc-per-node=8']


@pytest.mark.parametrize('name, files', [('train', ['a b.py']), ('test', ['a b.py', 'c d.pth'])])
def test_srun(tree, name, files):
    python = tree.add(tree.root / '.venv' / 'bin' / 'python')
    words = tree.started(f'slurm_{name}', 'gpu part', 'my job', *files, '--seed', '1')
    assert words == [
        *(str(tree.bin / 'srun'), '--partition=gpu part', '--job-name=my job', '--gres=gpu:8'),
        *('--ntasks=8', '--ntasks-per-node=8', '--cpus-per-task=5', '--kill-on-bad-exit=1'),
        *(str(python), '-u', f'{tree.root}/tools/{name}.py', *files, '--launcher', 'slurm'),
        *('--seed', '1'),
    ]
    variables = dict(
        GPUS='16',
        GPUS_PER_NODE='4',
        CPUS_PER_TASK='9',
        SRUN_ARGS='--time=1:00 --exclusive',
        PY_ARGS='--seed 3',
    )
    words = tree.started(f'slurm_{name}', 'p', 'j', *files, '--amp', **variables)
    assert words[3:9] == [
        *('--gres=gpu:4', '--ntasks=16', '--ntasks-per-node=4', '--cpus-per-task=9'),
        *('--kill-on-bad-exit=1', '--time=1:00'),
    ]
    assert words[9] == '--exclusive' and words[-3:] == ['--amp', '--seed', '3']
    assert tree.started(f'slurm_{name}', 'p', 'j', *files, GPUS='2')[3:6] == [
        *('--gres=gpu:2', '--ntasks=2', '--ntasks-per-node=2'),
    ]


def test_work_directory_of_slurm_train(tree):
    words = tree.started('slurm_train', 'p', 'j', 'config.py', 'work dir', '--amp')
    assert words[-5:] == ['--launcher', 'slurm', '--work-dir', 'work dir', '--amp']


def test_which_python(tree):
    call = ('dist_train', 'config.py', '1')
    assert tree.started(*call)[0] == str(tree.bin / 'python')
    ready = tree.add(tree.root / '.venv' / 'bin' / 'python')
    assert tree.started(*call)[0] == str(ready)
    named = tree.add(tree.root / 'my python')
    assert tree.started(*call, PYTHON=str(named))[0] == str(named)


@pytest.mark.parametrize('name', SCRIPTS)
def test_usage(tree, name):
    for words in ([], ['a'], ['a', 'b'], ['--help']):
        if name == 'dist_train' and len(words) == 2:
            words = ['a', 'not a number']
        result = tree.run(name, *words)
        assert result.returncode == 2 and not tree.log.exists()
        assert f'bash tools/{name}.sh ' in result.stderr
        assert result.stdout == '' and 'unbound' not in result.stderr


@pytest.mark.parametrize('page', ['docs/scaling.md', 'docs/faults.md', 'SECURITY.md'])
def test_tests_named_in_documents_exist(page):
    named = re.findall(r'(test_\w+\.py)(?:::(\w+))?', (ROOT / page).read_text())
    assert len(named) > 5
    for file, name in named:
        (path,) = (ROOT / 'tests').rglob(file)
        assert f'def {name or "test_"}' in path.read_text(), name
