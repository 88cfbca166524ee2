"""Options, skips and fixtures of the whole suite."""

from __future__ import annotations

import os
import random
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import shortcuts
import torch
from isolation import forget_runs
from mmengine.registry import DefaultScope

ROOT = Path(__file__).resolve().parent.parent
if 'PYTEST_XDIST_WORKER' in os.environ:  # one core for each of the processes that test side by side
    torch.set_num_threads(1)
    os.environ['OMP_NUM_THREADS'] = '1'  # of the tools that tests start
if not torch.cuda.is_available():  # Triton's own functions are interpreted from its import on
    os.environ.setdefault('TRITON_INTERPRET', '1')
shortcuts.take_shortcuts()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption('--slow', action='store_true', help='run the tests marked slow too')


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    skips = {}
    if not config.getoption('--slow'):
        skips['slow'] = 'a longer proof; runs with --slow'
    if not torch.cuda.is_available():
        skips['cuda'] = 'no CUDA device'
    for item in items:
        if item.get_closest_marker('slow'):
            item.add_marker(pytest.mark.timeout(3 * 3600))
        for marker, reason in skips.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_collection_finish() -> None:
    shortcuts.freeze()


@pytest.fixture(autouse=True, scope='session')
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Results of checks are kept for the session alone, also those of tools that tests start."""
    os.environ['SWINV2_DENSE_CACHE'] = str(tmp_path_factory.mktemp('cache'))


@pytest.fixture(autouse=True, scope='module')
def scope_of_module() -> Iterator[None]:
    """Commands set mmengine's default scope for their process; other tests must not see it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DefaultScope, '_instance_dict', OrderedDict())
        yield


@pytest.fixture(autouse=True)
def scope(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for the tests of a file, which do not share runs either."""
    monkeypatch.setattr(DefaultScope, '_instance_dict', DefaultScope._instance_dict.copy())
    forget_runs(monkeypatch)


@pytest.fixture(autouse=True)
def seed() -> None:
    """The same random numbers whichever tests run before."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 (mmengine and the mm packages draw from it)
    torch.manual_seed(0)


@pytest.fixture(scope='session')
def samples() -> Path:
    """Folder of real samples (coco_mini, ade20k_mini, kinetics_mini), which are not distributed."""
    given = os.environ.get('SWINV2_DENSE_SAMPLES')
    folder = Path(given) if given else ROOT.parent / 'shared' / 'data'
    if not (folder / 'coco_mini').is_dir():
        pytest.skip(
            f'no samples of real data at {folder}; set SWINV2_DENSE_SAMPLES to their folder'
        )
    return folder
