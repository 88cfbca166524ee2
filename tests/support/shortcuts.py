"""Shortcuts in mmengine, for the processes of the tests and for those of `forked.py`.

They skip most of the seconds that a small training takes. Tests with a real interpreter, as those
of the installed wheel, run without them.
"""

from __future__ import annotations

import functools
import gc

from mmengine.config import config, utils
from torch.utils.data import _utils
from yapf.yapflib import yapf_api


def take_shortcuts() -> None:
    """Do not format the text of configs, read the index files of other packages once, and do not
    wait for the workers of a data loader that is garbage.

    yapf needs 0.3 s for a config, four times per run; without it the text is Python, too. A loader
    in a reference cycle has lost its queues when it is collected. It cannot tell its workers to
    end, and waits five seconds for each before it terminates them.
    """
    # One version of mmengine imports the function with the module, the other one when it is used.
    config.FormatCode = yapf_api.FormatCode = lambda text, **_: (text, False)
    utils.load = functools.cache(utils.load)
    _utils.MP_STATUS_CHECK_INTERVAL = 0.5


def freeze() -> None:
    """Spare garbage collections the objects of all that has been imported."""
    gc.collect()
    gc.freeze()
