"""Run scripts in forks of a process that has imported the libraries.

Each script has a process of its own, as when a user runs it, without the five seconds that it takes
to import torch and the libraries of all tasks.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import runpy
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FORKS = multiprocessing.get_context('forkserver')
FORKS.set_forkserver_preload(['preloaded'])
STARTING = threading.Lock()
GRACE = 30  # seconds that the other processes have to end once one has failed


def run_script(
    script: Path | str, *args: object, cwd: Path = ROOT, limit: float = 900
) -> subprocess.CompletedProcess:
    """Run one script; the environment is that of the test."""
    (result,) = run_scripts(script, [args], [os.environ], cwd=cwd, limit=limit)
    return result


def run_code(code: str, *args: object, limit: float = 300) -> subprocess.CompletedProcess:
    """Run a program given as text."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, 'code.py')
        script.write_text(code)
        return run_script(script, *args, limit=limit)


def run_ranks(
    script: Path | str, *args: object, size: int = 2, limit: float = 300, **env: str
) -> subprocess.CompletedProcess:
    """Run a script in `size` processes that find each other as those of torchrun do.

    Returns:
        The status of one that failed, and all that the processes printed.
    """
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    common = dict(WORLD_SIZE=str(size), MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port), **env)
    environments = [
        {**os.environ, **common, 'RANK': str(rank), 'LOCAL_RANK': str(rank)} for rank in range(size)
    ]
    results = run_scripts(script, [args] * size, environments, limit=limit)
    code = next((result.returncode for result in results if result.returncode), 0)
    return subprocess.CompletedProcess(
        str(script), code, '\n'.join(result.stdout + result.stderr for result in results)
    )


def run_scripts(
    script: Path | str,
    args: Sequence[Sequence[object]],
    environments: Sequence[Mapping[str, str]],
    cwd: Path = ROOT,
    limit: float = 300,
) -> list[subprocess.CompletedProcess]:
    """Run one process per element of `args` and `environments`; none outlives the call."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        outputs = [(f'{folder}/{rank}.out', f'{folder}/{rank}.err') for rank in range(len(args))]
        processes: list[BaseProcess] = []
        for given, env, files in zip(args, environments, outputs):
            call = (str(script), list(map(str, given)), dict(env), str(cwd), files)
            process = start(_main, call)
            stack.callback(process.kill)
            processes.append(process)
        end = time.monotonic() + limit
        while any(process.is_alive() for process in processes):
            if any(process.exitcode for process in processes):
                end = min(end, time.monotonic() + GRACE)
            if time.monotonic() > end:
                break
            time.sleep(0.01)
        late = [process for process in processes if process.is_alive()]
        for process in late:
            process.kill()
            process.join()
        texts = [[Path(path).read_text(errors='replace') for path in files] for files in outputs]
        if late and not any(process.exitcode for process in processes if process not in late):
            raise subprocess.TimeoutExpired(str(script), limit, *map(''.join, zip(*texts)))
    return [
        subprocess.CompletedProcess([str(script), *given], process.exitcode, *text)
        for given, process, text in zip(args, processes, texts)
    ]


def start(target: Callable, args: tuple) -> BaseProcess:
    """Start a process that calls a function of an importable module."""
    path = [str(Path(__file__).parent), os.environ.get('PYTHONPATH', '')]
    with STARTING, pytest.MonkeyPatch.context() as patch:
        patch.setenv('PYTHONPATH', os.pathsep.join(filter(None, path)))
        forkserver.ensure_running()  # it imports `preloaded` of this folder
    process = FORKS.Process(target=target, args=args)
    process.start()
    return process


def _main(script: str, args: list[str], env: dict[str, str], cwd: str, files: tuple) -> None:
    """What a new interpreter does with a script, in a process that has been forked."""
    for number, path in enumerate(files, 1):
        with open(path, 'w') as file:
            os.dup2(file.fileno(), number)
    sys.stdout, sys.stderr = (os.fdopen(number, 'w', 1, closefd=False) for number in (1, 2))
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    tests = str(ROOT / 'tests')
    given = [path for path in env.get('PYTHONPATH', '').split(os.pathsep) if path]
    found = [path for path in sys.path if path and not path.startswith(tests)]
    sys.path[:] = [str(Path(script).parent), *given, *found]
    sys.argv = [script, *args]
    try:
        runpy.run_path(script, run_name='__main__')
    except SystemExit as end:
        code = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    else:
        code = 0
    if isinstance(code, str):
        print(code, file=sys.stderr)
        code = 1
    atexit._run_exitfuncs()
    sys.exit(code)
