"""Run the commands in tools/ like a user, in a new process or in this one."""

from __future__ import annotations

import contextlib
import io
import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from forked import ROOT, run_script
from isolation import forget_runs

from swinv2_dense.training.known_warnings import KNOWN_WARNINGS

SUPPORT = ROOT / 'tests/support'


def tool(name: str, *args: object, limit: float = 900) -> subprocess.CompletedProcess:
    """Run tools/{name}.py for at most `limit` seconds; its output is in `printed` of the result."""
    result = run_script(f'tools/{name}.py', *args, limit=limit)
    result.printed = result.stdout + result.stderr
    return result


def fresh_tool(name: str, *args: object) -> subprocess.CompletedProcess:
    """The same in a new interpreter, which imports no more than the tool does."""
    command = [sys.executable, f'tools/{name}.py', *map(str, args)]
    result = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, timeout=900)
    result.printed = result.stdout + result.stderr
    return result


def succeed(name: str, *args: object, limit: float = 900) -> str:
    """Run a tool that must succeed and return what it printed."""
    result = tool(name, *args, limit=limit)
    assert result.returncode == 0, result.printed[-3000:]
    return result.printed


def check_start(printed: str) -> str:
    """The ten lines before the first step; the rest is in the log, and known warnings are not."""
    start = printed[: re.search(r'- (Iter|Epoch)\(', printed).start()]
    report = start[re.search(r'INFO - (Training|Testing)\n', start).start() :]
    assert len(report.splitlines()) <= 12, report
    assert '  log  ' in report and '  model  ' in report
    assert 'System environment' not in printed and 'Config:' not in printed
    for row in KNOWN_WARNINGS:
        assert not re.search(row.message, printed), row
    return report


def scalars(work_dir: Path) -> list[dict]:
    """mmengine's log of the only run in a work directory."""
    (path,) = work_dir.glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in path.read_text().splitlines()]


def run_here(name: str, *args: object) -> subprocess.CompletedProcess:
    """A tool in this process: the imports of a new one take seconds."""
    out, err, argv = io.StringIO(), io.StringIO(), sys.argv
    sys.argv, code = [name, *map(str, args)], 0
    try:
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.MonkeyPatch.context() as patch,
        ):
            forget_runs(patch)
            runpy.run_path(str(ROOT / 'tools' / f'{name}.py'), run_name='__main__')
    except SystemExit as end:
        code = end.code
    finally:
        sys.argv = argv
    return subprocess.CompletedProcess(name, code, out.getvalue(), err.getvalue())
