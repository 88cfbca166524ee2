"""Every config of a paper's or our own training: its name, its recipe, and that it runs."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import ROOT
from contracts import Contract, bases, top_comment
from mmengine.config import Config
from mmengine.registry import DefaultScope
from snapshots import Snapshots

from swinv2_dense.cli.common import build_runner, check_config

for library in ('mmdet', 'mmseg', 'mmaction'):
    pytest.importorskip(library)
from contracts import classification, detection, detr, pretraining, segmentation, video  # noqa: E402

TASKS = (classification, detection, detr, segmentation, video, pretraining)
CONTRACTS = tuple(task.CONTRACT for task in TASKS)
CONFIGS = [(c, path.stem) for c in CONTRACTS for path in sorted(c.folder.glob('*.py'))]
TESTED = [(c, name) for c, name in CONFIGS if '-test-' in name and c is not detection.CONTRACT]
each_config = pytest.mark.parametrize('contract, name', CONFIGS, ids=[name for _, name in CONFIGS])


def slow_variant(config: tuple[Contract, str]) -> Any:
    """A parameter for tests that take long, in which variants differ in numbers only."""
    contract, name = config
    is_variant = any(base.startswith('./') for base in bases(contract.folder / f'{name}.py'))
    return pytest.param(contract, name, id=name, marks=[pytest.mark.slow] * is_variant)


@each_config
def test_name_matches_the_content(contract: Contract, name: str) -> None:
    cfg, said = contract.load(name), contract.grammar.fullmatch(name)
    assert said, f'does not match {contract.grammar.pattern}'
    assert cfg.model.backbone.arch == said['arch'][0]
    window = said['window']
    axes = [8, 8, 8] if window == '888' else [int(extent) for extent in window.split('x')]
    assert cfg.model.backbone.window_size == (axes[0] if len(axes) == 1 else tuple(axes))
    assert cfg.train_dataloader.batch_size == int(said['batch'])
    batch = int(said['gpus']) * int(said['batch']) * contract.parts_of_batch(name)
    assert cfg.auto_scale_lr.base_batch_size == batch
    tricks = said['tricks'].split('-')
    assert ('bf16' in tricks) == (cfg.optim_wrapper.type == 'Bf16OptimWrapper')
    assert ('fsdp' in tricks) == (cfg.get('runner_type') == 'FlexibleRunner')
    contract.check_content(name, cfg, said)


@each_config
def test_recipe_is_that_of_the_paper(contract: Contract, name: str) -> None:
    """Or, for configs of our own, that of the paper's ablation."""
    cfg, recipe = contract.load(name), contract.recipe(name)
    wrapper = cfg.optim_wrapper
    assert wrapper.constructor == 'SwinV2OptimWrapperConstructor'
    assert wrapper.optimizer == dict(
        type='AdamW', lr=recipe.lr, betas=(0.9, 0.999), weight_decay=recipe.weight_decay
    )
    assert wrapper.get('paramwise_cfg', {}) == recipe.paramwise
    said, parts = contract.grammar.fullmatch(name), contract.parts_of_batch(name)
    assert int(said['gpus']) * int(said['batch']) * parts == recipe.batch
    contract.check_schedule(name, cfg, parts)


@each_config
def test_top_comment_states_row_and_assumptions(contract: Contract, name: str) -> None:
    contract.check_comment(name, top_comment(contract.folder / f'{name}.py'))


@each_config
def test_a_variant_is_short_and_not_a_variant_of_a_variant(contract: Contract, name: str) -> None:
    path = contract.folder / f'{name}.py'
    siblings = [base for base in bases(path) if base.startswith('./')]
    assert len(path.read_text().splitlines()) <= (25 if siblings else 60)
    for sibling in siblings:
        assert not [b for b in bases(contract.folder / sibling) if b.startswith('./')]


@pytest.mark.parametrize('path', sorted(ROOT.glob('configs/_base_/*/*.py')), ids=lambda p: p.stem)
def test_fragments_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 170


@pytest.mark.parametrize('contract, name', [slow_variant(config) for config in CONFIGS])
def test_dumping_and_loading_changes_nothing(contract: Contract, name: str, tmp_path: Path) -> None:
    cfg = contract.load(name)
    cfg.dump(tmp_path / 'written.py')
    assert Config.fromfile(tmp_path / 'written.py').to_dict() == cfg.to_dict()


@pytest.mark.parametrize('contract, name', TESTED, ids=[name for _, name in TESTED])
def test_a_config_for_tests_changes_nothing_that_is_trained(contract: Contract, name: str) -> None:
    (sibling,) = bases(contract.folder / f'{name}.py')
    cfg, trained = contract.load(name), contract.load(Path(sibling).stem)
    for key in ('train_dataloader', 'optim_wrapper', 'param_scheduler', 'train_cfg', 'load_from'):
        assert cfg.get(key) == trained.get(key)
    backbone = dict(trained.model.backbone, window_size=cfg.model.backbone.window_size)
    assert cfg.model.backbone.to_dict() == backbone


@pytest.fixture(scope='module')
def data_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Contract], Any]:
    return functools.cache(lambda c: c.write_data(tmp_path_factory.mktemp(c.scope) / 'data'))


def kind(contract: Contract, name: str) -> tuple:
    """What remains of a name when the config has been made small."""
    said = contract.grammar.fullmatch(name).groupdict()
    said['tricks'] = said['tricks'].replace('fsdp-', '')
    same = ('arch', 'window', 'weights', 'gpus', 'batch', 'length', 'unit', 'epochs', 'size')
    return tuple(said[key] for key in sorted(said.keys() - {*same, 'height', 'width'}))


FIRST = {(c, kind(c, name)): name for c, name in reversed(CONFIGS)}.values()


@pytest.mark.parametrize(
    'contract, name',
    [pytest.param(c, n, marks=[pytest.mark.slow] * (n not in FIRST), id=n) for c, n in CONFIGS],
)
def test_one_training_step_and_one_test_step(
    contract: Contract,
    name: str,
    data_of: Callable[[Contract], Any],
    tmp_path: Path,
) -> None:
    cfg = copy.deepcopy(contract.load(name))
    contract.shrink(cfg, data_of(contract))
    cfg.work_dir = str(tmp_path)
    check_config(cfg, ('train', 'test'))
    with DefaultScope.overwrite_default_scope(contract.scope):
        runner, snapshots = build_runner(cfg), Snapshots()
        runner.register_hook(snapshots)
        runner.train()
        before = snapshots.taken[0]
        changed = {n for n, p in runner.model.named_parameters() if not p.detach().equal(before[n])}
        for part in ('backbone.patch_embed', 'backbone.norm3', *contract.parts(cfg)):
            assert any(n.startswith(part) for n in changed), f'{part} did not learn'
        assert all(p.isfinite().all() for p in runner.model.parameters())
        metrics = runner.test()
        contract.check_test(name, cfg, runner, metrics)
