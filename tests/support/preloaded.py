"""Imports for the server of `forked.py`: the libraries of all tasks that are installed."""

from __future__ import annotations

import contextlib
import importlib
import warnings

import shortcuts
from mmengine import hub

shortcuts.take_shortcuts()
with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    for task, scope in (('det', 'mmdet'), ('seg', 'mmseg'), ('video', 'mmaction')):
        with contextlib.suppress(ImportError):
            importlib.import_module(f'swinv2_dense.{task}')
            hub.get_config(f'{scope}::_base_/default_runtime.py')  # reads the index files
    for name in ('pretraining', 'cli.train', 'cli.test', 'cli.infer'):
        importlib.import_module(f'swinv2_dense.{name}')
shortcuts.freeze()
