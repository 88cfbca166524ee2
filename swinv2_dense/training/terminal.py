"""What a training or a test shows on the terminal before its first step.

mmengine logs some 600 lines by then: the environment, the config, the order of hooks. They stay in
the log file. The terminal shows warnings, errors and the records that `on_terminal` marks, until
`started` is called; from there on it shows what mmengine shows.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.logging import MMLogger

from .known_warnings import is_known, silence_known_warnings

# These print on loading a file of annotations. Shadowing `print` in them leaves all others alone.
PRINTING_MODULES = ('pycocotools.coco', 'xtcocotools.coco', 'mmdet.datasets.api_wrappers.coco_api')
RANKS = ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK')  # of torchrun, Slurm and Open MPI


class TerminalFilter(logging.Filter):
    """Of mmengine's records, those that belong on the terminal."""

    starting = True

    def filter(self, record: logging.LogRecord) -> bool:
        where = getattr(record, 'where', None)
        if where is not None:
            return where == 'terminal'
        if is_known(record):
            return False
        return record.levelno > logging.INFO or not self.starting


_current: list[TerminalFilter] = []


@contextmanager
def quiet_start() -> Iterator[TerminalFilter]:
    """Let the terminal handlers of all loggers of mmengine, also new ones, show what matters."""
    terminal = TerminalFilter()
    original = MMLogger.__init__
    filtered: list[logging.Handler] = []

    def attach(logger: MMLogger) -> None:
        for handler in logger.handlers:
            if type(handler) is logging.StreamHandler:  # a FileHandler is one, too
                handler.addFilter(terminal)
                filtered.append(handler)

    @functools.wraps(original)
    def init(self: MMLogger, *args: Any, **settings: Any) -> None:
        original(self, *args, **settings)
        attach(self)

    for logger in MMLogger._instance_dict.values():
        attach(logger)
    MMLogger.__init__ = init
    _current.append(terminal)
    try:
        yield terminal
    finally:
        _current.remove(terminal)
        MMLogger.__init__ = original
        for handler in filtered:
            handler.removeFilter(terminal)
        for name in sys.modules.keys() & {*PRINTING_MODULES}:
            vars(sys.modules[name]).pop('print', None)


def started() -> None:
    """Show from now on what mmengine shows."""
    for terminal in _current:
        terminal.starting = False


def on_terminal(logger: logging.Logger, text: str) -> None:
    """Log a text that belongs on the terminal, also before the start."""
    logger.info(text, extra=dict(where='terminal'))


def log_prints() -> None:
    """Send what the modules above print, once imported, to the log file."""

    def log(*words: Any, **_: Any) -> None:
        text = ' '.join(map(str, words)).strip()
        if text:
            MMLogger.get_current_instance().info(text, extra=dict(where='file'))

    for name in sys.modules.keys() & {*PRINTING_MODULES} if _current else ():
        sys.modules[name].print = log


def quiet_warnings() -> None:
    """Silence the known warnings, and all warnings of processes other than the first."""
    silence_known_warnings()
    if rank() != 0:
        warnings.simplefilter('ignore')


def rank() -> int:
    """The number of this process in a distributed run, also before the processes are joined."""
    return next((int(os.environ[name]) for name in RANKS if name in os.environ), 0)
