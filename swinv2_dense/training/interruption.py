"""Ctrl-C: one line that says where a training stands and how it goes on."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

STATUS = 130  # as shells have it: 128 and the number of SIGINT


@contextmanager
def say_how_to_resume(work_dir: str, argv: Sequence[str] | None) -> Iterator[None]:
    """Give a KeyboardInterrupt within the message that `end_interrupted` prints.

    Args:
        work_dir: Of the training.
        argv: The arguments of the command, of this process if None.
    """
    try:
        yield
    except KeyboardInterrupt:
        pointer = Path(work_dir, 'last_checkpoint')
        if not pointer.is_file():
            message = f'there is no checkpoint in {work_dir} yet: the same command begins again'
        else:
            name = Path(pointer.read_text().strip()).name
            command = resume_command(sys.argv[0], sys.argv[1:] if argv is None else argv)
            message = f'the last checkpoint is {name}. Go on with: {command}'
        raise KeyboardInterrupt(message) from None


def resume_command(program: str, argv: Sequence[str]) -> str:
    """The same command line, with `--resume`.

    Args:
        program: `sys.argv[0]`: a Python file, or what to type instead, see `cli.main`.
        argv: The other arguments.
    """
    kept: list[str] = []
    is_value = False  # of --resume: the checkpoint that this run began from
    for word in map(str, argv):
        if word.startswith('--resume'):
            is_value = word == '--resume'
            continue
        if not is_value or word.startswith('-'):
            kept.append(word)
        is_value = False
    start = ['python', program] if program.endswith('.py') else program.split()
    return shlex.join([*start, *kept, '--resume'])


def end_interrupted(interrupt: KeyboardInterrupt, is_first: bool) -> int:
    """Print the one line, in the first process of a run only; the status to exit with."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second Ctrl-C ends at once
    if is_first:
        print(f'\ninterrupted; {interrupt}' if str(interrupt) else '\ninterrupted', file=sys.stderr)
    return STATUS
