"""Warnings of other packages that are irrelevant to users, each with the reason.

These packages trigger them in their own code, so no config avoids them. All other warnings are
shown. A row matches as narrowly as possible: by category, start of the text, and module. Python has
no other way to tell warnings of one category apart, and the packages use the built-in categories.
"""

from __future__ import annotations

import logging
import re
import warnings
from typing import NamedTuple


class KnownWarning(NamedTuple):
    """A Python warning (`category` is its class) or a line of mmengine's log (None).

    `message` and `module` are regular expressions, for the start of the text and for the full
    module name. Log lines do not tell which module wrote them, so `module` is not used for these.
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
        'imports pkg_resources, so the setup pins setuptools',
    ),
    KnownWarning(
        DeprecationWarning,
        'pkg_resources is deprecated',
        r'.*',
        'mmengine',
        'as above, with other versions of setuptools',
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
        'explains the default of CrossEntropyLoss, which published results used',
    ),
    KnownWarning(
        UserWarning,
        r'Detected call of `scheduler\.step\(\)` before `optimizer\.step\(\)`',
        r'mmengine\.optim\.scheduler\.param_scheduler',
        'mmengine',
        'its loops step in the right order; while gradients accumulate, there is no step yet',
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
        "use torch's names for mixed precision from before torch 2.4",
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
        'pictures are off by default; --show-dir turns them on',
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
    """Ignore the Python warnings listed above, in this process and its forks."""
    for row in KNOWN_WARNINGS:
        if row.category is not None:
            # `warnings` anchors the module pattern at the start only.
            warnings.filterwarnings('ignore', row.message, row.category, rf'(?:{row.module})$')


def is_known(record: logging.LogRecord) -> bool:
    """Whether a log record is one of the lines listed above."""
    text = record.getMessage()
    return record.levelno == logging.WARNING and any(
        row.category is None and re.match(row.message, text) for row in KNOWN_WARNINGS
    )
