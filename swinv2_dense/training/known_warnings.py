"""Warnings of other packages that say nothing to the user of a training, each with its reason.

They are raised by code that the packages themselves call, so no config avoids them. Anything that
is not listed here is shown. A row names the warning as narrowly as it can: its category, the start
of its text and the module that raises it.
"""

from __future__ import annotations

import logging
import re
import warnings
from typing import NamedTuple


class KnownWarning(NamedTuple):
    """A warning of Python (`category` is its class) or a line of mmengine's log (None).

    `message` and `module` are regular expressions for the start of the text, and for the whole name
    of the module. A line of the log does not tell who wrote it: `module` is not used for it.
    """

    category: type[Warning] | None
    message: str
    module: str
    package: str
    reason: str


KNOWN_WARNINGS = (
    KnownWarning(
        UserWarning,
        'pkg_resources is deprecated',
        r'.*',
        'mmengine',
        'imports pkg_resources, for which the setup pins setuptools',
    ),
    KnownWarning(
        DeprecationWarning,
        'pkg_resources is deprecated',
        r'.*',
        'mmengine',
        'the same with other versions of setuptools',
    ),
    KnownWarning(
        UserWarning,
        r'``build_\w+`` would be deprecated soon',
        r'mmseg\.(models\.builder|datasets\.sampler\.builder|structures\.sampler\.builder)'
        r'|mmdet\.models\.task_modules\.builder',
        'mmseg, mmdet',
        'their own heads call the old builders',
    ),
    KnownWarning(
        UserWarning,
        'Default ``avg_non_ignore`` is False',
        r'mm(seg|det)\.models\.losses\.cross_entropy_loss',
        'mmseg, mmdet',
        'explains the default of CrossEntropyLoss, which is the one that published results used',
    ),
    KnownWarning(
        UserWarning,
        r'Detected call of `scheduler\.step\(\)` before `optimizer\.step\(\)`',
        r'mmengine\.optim\.scheduler\.param_scheduler',
        'mmengine',
        'its loops step in the right order; while gradients are accumulated, there is no step yet',
    ),
    KnownWarning(
        UserWarning,
        'To copy construct from a tensor, it is recommended',
        r'mm(det|seg|action)\..*',
        'mmdet',
        'tensor.new_tensor(tensor) in the post-processing of masks, once per process',
    ),
    KnownWarning(
        FutureWarning,
        r'`torch\.(cuda|cpu)\.amp\.',
        r'(mmengine|mmcv|mmdet|mmseg|mmaction)\..*',
        'mmengine, mmcv',
        "the names of torch's mixed precision before torch 2.4",
    ),
    KnownWarning(
        UserWarning,
        r"Failed to add <class 'mmengine\.visualization\.vis_backend",
        r'mmengine\.visualization\.visualizer',
        'mmengine',
        'a visualizer without a folder, as inference uses it, stores nothing',
    ),
    KnownWarning(
        UserWarning,
        r'The draw is False, it means that the hook for visualization',
        r'mm(seg|det)\.engine\.hooks\.visualization_hook',
        'mmseg',
        'pictures are not asked for; --show-dir turns them on',
    ),
    KnownWarning(
        None,
        r'The prefix is not set in metric class \w+\.',
        '',
        'mmengine',
        'metrics of mmseg have no prefix, and their names are unique without',
    ),
    KnownWarning(
        None,
        '"FileClient" will be deprecated in future',
        '',
        'mmengine',
        'its own CheckpointHook asks for one',
    ),
    KnownWarning(
        None,
        '"HardDiskBackend" is the alias of "LocalBackend"',
        '',
        'mmengine',
        'its own FileClient asks for one',
    ),
)


def silence_known_warnings() -> None:
    """Ignore the rows that are Python warnings, in this process and those forked from it."""
    for row in KNOWN_WARNINGS:
        if row.category is not None:
            # warnings matches the module's name from its start only.
            warnings.filterwarnings('ignore', row.message, row.category, rf'(?:{row.module})$')


def is_known(record: logging.LogRecord) -> bool:
    """Whether a line of the log is one of the rows."""
    text = record.getMessage()
    return record.levelno == logging.WARNING and any(
        row.category is None and re.match(row.message, text) for row in KNOWN_WARNINGS
    )
