"""What configs of every task promise, and the table of what is special to a task."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from commands import ROOT
from mmengine.config import Config


class Recipe(NamedTuple):
    """Written from the papers, independently of the configs."""

    lr: float
    batch: int  # samples per optimizer step
    weight_decay: float
    paramwise: dict
    length: int  # epochs, or optimizer steps


class Contract(NamedTuple):
    """What is special to the configs of a task; functions raise AssertionError."""

    folder: Path
    scope: str
    grammar: re.Pattern  # of names, with groups arch, window, gpus, batch and parts
    recipe: Callable[[str], Recipe]
    check_content: Callable[[str, Config, re.Match], None]
    check_schedule: Callable[[str, Config, int], None]  # with the parts of a batch
    check_comment: Callable[[str, str], None]  # of the first lines
    write_data: Callable[[Path], Any]
    shrink: Callable[[Config, Any], None]  # to one training step on what `write_data` returned
    parts: Callable[[Config], list[str]]  # prefixes of parameters that must learn
    check_test: Callable[[str, Config, Any, dict], None]  # of the runner and its metrics
    row: re.Pattern  # of the table in README.md
    check_row: Callable[[str, Config, re.Match, dict], None]  # with the entry of metafile.yml

    def load(self, name: str) -> Config:
        """Shared by the tests, which must not modify it."""
        return load(self.folder / f'{name}.py')

    def parts_of_batch(self, name: str) -> int:
        """Parts whose gradients are accumulated."""
        return self.load(name).optim_wrapper.get('accumulative_counts', 1)


@functools.cache
def load(path: Path) -> Config:
    return Config.fromfile(path)


def as_list(value: Any) -> list:
    return value if isinstance(value, list) else [value]


def bases(path: Path) -> list[str]:
    assigned = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Assign)]
    (found,) = [n.value for n in assigned if getattr(n.targets[0], 'id', '') == '_base_']
    return as_list(ast.literal_eval(found))


def top_comment(path: Path) -> str:
    return re.match(r'(#.*\n)+', path.read_text())[0].replace('\n# ', ' ')


def folder_of(name: str) -> Path:
    return ROOT / 'configs' / name


def expected_of(cfg: Config, metric: str, tta: bool) -> float | None:
    """What a config expects of a test, in the unit of the paper; None if nothing."""
    entries = [e for e in cfg.get('expected') or () if e.metric == metric]
    values = [e.value for e in entries if e.get('tta', False) == tta]
    assert len(values) <= 1
    percent = 1 if metric == 'mIoU' else 100
    return round(percent * values[0], 2) if values else None


def published(cfg: Config, metrics: tuple[str, ...], tta: bool) -> str:
    """The expected metrics as in a table of the paper, '51.1 / -' for two of them."""
    return ' / '.join(str(expected_of(cfg, m, tta) or '-') for m in metrics)


def train_one_iteration(cfg: Config) -> None:
    """What the small versions of all configs have in common."""
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.param_scheduler = cfg.load_from = None
    cfg.optim_wrapper.pop('accumulative_counts', None)
    cfg.pop('runner_type', None)  # sharding needs several processes: tests/distributed/test_fsdp.py
    cfg.pop('strategy', None)
