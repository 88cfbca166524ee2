"""Ctrl-C: one line with the last checkpoint and the command that resumes it."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

STATUS = 130  # shell convention: 128 + SIGINT


@contextmanager
def say_how_to_resume(work_dir: str, argv: Sequence[str] | None) -> Iterator[None]:
    """Give a KeyboardInterrupt in the block the message that `end_interrupted` prints.

    Args:
        work_dir: Work directory of the training.
        argv: Arguments of the command; None for those of this process.
    """
    try:
        yield
    except KeyboardInterrupt:
        pointer = Path(work_dir, 'last_checkpoint')
        if not pointer.is_file():
            message = f'no checkpoint in {work_dir} yet: the same command starts over'
        else:
            name = Path(pointer.read_text().strip()).name
            command = resume_command(sys.argv[0], sys.argv[1:] if argv is None else argv)
            message = f'the last checkpoint is {name}. Continue with: {command}'
        raise KeyboardInterrupt(message) from None


def resume_command(program: str, argv: Sequence[str]) -> str:
    """The same command line, with `--resume`.

    Args:
        program: `sys.argv[0]`: a Python file, or several words to type instead, see `cli.main`.
        argv: The other arguments.
    """
    kept: list[str] = []
    is_value = False  # whether the word may be the checkpoint of --resume
    for word in map(str, argv):
        if word.startswith('--resume'):
            is_value = word == '--resume'
            continue
        if not is_value or word.startswith('-'):
            kept.append(word)
        is_value = False
    start = program.split() if ' ' in program else ['python', program]
    return shlex.join([*start, *kept, '--resume'])


def end_interrupted(interrupt: KeyboardInterrupt, is_first: bool) -> int:
    """Print the message on the first process of a run and return the exit status."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second Ctrl-C exits immediately
    if is_first:
        print(f'\ninterrupted; {interrupt}' if str(interrupt) else '\ninterrupted', file=sys.stderr)
    return STATUS
