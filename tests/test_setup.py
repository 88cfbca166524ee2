"""tools/setup.sh: the choice of stack and Python, and the precompiled header of mmcv."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import ROOT

PYTHON = """#!/bin/sh
if [ "$1" = --version ]; then echo "Python {major}.{minor}.1"; exit; fi
exec "{real}" -c "import sys; sys.version_info = ({major}, {minor}, 1, 'final', 0)
$2"
"""
spec = importlib.util.spec_from_file_location('header', ROOT / 'tools' / 'precompile_header.py')
header = importlib.util.module_from_spec(spec)
spec.loader.exec_module(header)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A checkout without environments, and a PATH without a Python."""
    (tmp_path / 'tools').mkdir()
    (tmp_path / 'bin').mkdir()
    shutil.copy(ROOT / 'tools' / 'setup.sh', tmp_path / 'tools')
    for name in ('bash', 'dirname', 'mkdir', 'cat'):
        (tmp_path / 'bin' / name).symlink_to(shutil.which(name))
    return tmp_path


def choose(tree: Path, words: str, **variables: str) -> subprocess.CompletedProcess:
    """The stack and the Python that the setup chooses."""
    script = f'source tools/setup.sh; parse_setup_arguments {words}; choose_stack; '
    script += '[ -n "${python:-}" ] || [ -x .venv/bin/python ] || find_python; echo $stack'
    script += '; basename() { echo "${1##*/}"; }; basename "${python:-none}"'
    env = {'PATH': str(tree / 'bin'), **variables}
    return subprocess.run(['bash', '-c', script], cwd=tree, env=env, text=True, capture_output=True)


def install(tree: Path, *versions: str, folder: str = 'bin') -> None:
    """Programs that say that they are Python 3.x."""
    for version in versions:
        path = tree / folder / (f'python{version}' if folder == 'bin' else 'python')
        path.parent.mkdir(parents=True, exist_ok=True)
        major, minor = version.split('.')
        path.write_text(PYTHON.format(major=major, minor=minor, real=sys.executable))
        path.chmod(0o755)


@pytest.mark.parametrize(
    'versions, words, chosen',
    [
        (['3.11', '3.12'], '', ['classic', 'python3.11']),
        (['3.10', '3.13'], '', ['classic', 'python3.10']),
        (['3.12'], '', ['onedl', 'python3.12']),
        (['3.13'], '', ['onedl', 'python3.13']),
        (['3.12'], '--stack onedl', ['onedl', 'python3.12']),
        (['3.11', '3.12'], '--stack onedl', ['onedl', 'python3.11']),
    ],
)
def test_the_stack_follows_from_the_python(tree, versions, words, chosen):
    install(tree, *versions)
    result = choose(tree, words)
    assert result.stdout.split()[-2:] == chosen, result.stderr
    said = 'too new for the classic stack' in result.stdout
    assert said == (chosen[0] == 'onedl' and not words)


@pytest.mark.parametrize(
    'versions, words, message',
    [
        (['3.12'], '--stack classic', 'the classic stack needs Python 3.10 or 3.11'),
        (['3.9'], '', 'no Python found'),
        ([], '', 'no Python found'),
    ],
)
def test_a_python_that_no_stack_fits_is_named(tree, versions, words, message):
    install(tree, *versions)
    if versions == ['3.12']:
        (tree / 'bin' / 'python3').symlink_to(tree / 'bin' / 'python3.12')
    result = choose(tree, words)
    assert result.returncode == 1 and message in result.stderr


def test_the_variable_and_an_environment_that_exists_decide(tree):
    install(tree, '3.11', '3.13')
    result = choose(tree, '', PYTHON=str(tree / 'bin' / 'python3.13'))
    assert result.stdout.split()[-2:] == ['onedl', 'python3.13']
    install(tree, '3.11', folder='.venv/bin')
    result = choose(tree, '', PYTHON=str(tree / 'bin' / 'python3.13'))
    assert result.stdout.split()[-2:] == ['onedl', 'python3.13']
    (tree / 'bin' / 'python3.11').unlink()
    assert choose(tree, '').stdout.split()[-2:] == ['classic', 'none']


def run_header(tmp_path: Path, **variables: str) -> subprocess.CompletedProcess:
    command = [sys.executable, ROOT / 'tools/precompile_header.py', 'mmcv==2.1.0', tmp_path / 'h']
    env = {**os.environ, **variables}
    return subprocess.run(command, env=env, text=True, capture_output=True)


def test_other_compilers_and_builds_with_cuda_are_refused(tmp_path):
    """They exit before anything is downloaded; the setup then compiles mmcv without the header."""
    clang = tmp_path / 'c++'
    clang.write_text('#!/bin/sh\necho "#define __clang__ 1"; echo "#define __GNUC__ 4"\n')
    clang.chmod(0o755)
    result = run_header(tmp_path, CXX=str(clang))
    assert result.returncode == 1 and 'is not GCC' in result.stderr
    result = run_header(tmp_path, FORCE_CUDA='1', CXX='g++')
    assert result.returncode == 1 and 'FORCE_CUDA' in result.stderr
    assert not (tmp_path / 'h').exists()


def test_the_header_is_used_or_the_build_fails(tmp_path):
    """A class that only the precompiled header has shows whether it was used."""
    if shutil.which('g++') is None:
        pytest.skip('no g++')
    path = tmp_path / 'pytorch_cpp_helper.hpp'
    path.write_text('struct FromPrecompiledHeader {};\n')
    header.precompile(['g++'], path)
    path.write_text('// the plain header\n')
    source = tmp_path / 'a.cpp'
    source.write_text('#include "pytorch_cpp_helper.hpp"\nFromPrecompiledHeader used;\n')
    flags = [*header.CFLAGS, *header.BUILD_FLAGS, f'-I{tmp_path}']
    command = ['g++', '-c', str(source), '-o', str(tmp_path / 'a.o')]
    same = subprocess.run([*command, *flags], text=True, capture_output=True)
    assert same.returncode == 0, same.stderr
    other = subprocess.run([*command, *flags, '-O0'], text=True, capture_output=True)
    assert other.returncode != 0 and 'invalid-pch' in other.stderr
