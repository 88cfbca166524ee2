"""What a training or a test shows on the terminal before its first step.

By then mmengine has logged about 600 lines: the environment, the config, the order of hooks. These
stay in the log file. The terminal shows warnings, errors and the records that `on_terminal` marks,
until `started` is called. From then on it shows what mmengine shows.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.logging import MMLogger

from ..compat import watch_new_loggers
from .known_warnings import is_known, silence_known_warnings

# They print when they load annotations. Shadowing `print` in these modules affects no others.
PRINTING_MODULES = ('pycocotools.coco', 'xtcocotools.coco', 'mmdet.datasets.api_wrappers.coco_api')
RANKS = ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK')  # of torchrun, Slurm and Open MPI


class TerminalFilter(logging.Filter):
    """Selects mmengine's log records that belong on the terminal."""

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
    """Filter the terminal handlers of all mmengine loggers, including those created later."""
    terminal = TerminalFilter()
    filtered: list[logging.Handler] = []

    def attach(logger: MMLogger) -> None:
        for handler in logger.handlers:
            if type(handler) is logging.StreamHandler:  # not FileHandler, a subclass of it
                handler.addFilter(terminal)
                filtered.append(handler)

    for logger in MMLogger._instance_dict.values():
        attach(logger)
    _current.append(terminal)
    try:
        with watch_new_loggers(attach):
            yield terminal
    finally:
        _current.remove(terminal)
        for handler in filtered:
            handler.removeFilter(terminal)
        for name in sys.modules.keys() & {*PRINTING_MODULES}:
            vars(sys.modules[name]).pop('print', None)


def started() -> None:
    """Show everything that mmengine shows from now on."""
    for terminal in _current:
        terminal.starting = False


def on_terminal(logger: logging.Logger, text: str) -> None:
    """Log a text that is shown on the terminal even before the first step."""
    logger.info(text, extra=dict(where='terminal'))


def log_prints() -> None:
    """Send what the modules above print, once imported, to the log file.

    Defect: they print progress to the terminal, and have no setting for it (`COCO.createIndex` of
    pycocotools 2.0; no upstream report).
    Condition: within `quiet_start`.
    """

    def log(*words: Any, **_: Any) -> None:
        text = ' '.join(map(str, words)).strip()
        if text:
            MMLogger.get_current_instance().info(text, extra=dict(where='file'))

    for name in sys.modules.keys() & {*PRINTING_MODULES} if _current else ():
        sys.modules[name].print = log


def quiet_warnings() -> None:
    """Silence the known warnings, and all warnings of ranks other than 0."""
    silence_known_warnings()
    if rank() != 0:
        warnings.simplefilter('ignore')


def rank() -> int:
    """Rank of this process, also before the processes are connected."""
    return next((int(os.environ[name]) for name in RANKS if name in os.environ), 0)
