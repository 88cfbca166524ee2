"""The summary on the terminal before the first step of a training or a test."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop
from torch.distributed.fsdp import FSDPModule

from ..config_parts import leaf_datasets
from ..resilience.schedules import ENDLESS
from .terminal import on_terminal, started

SHOWN = 8  # classes


@HOOKS.register_module()
class StartReportHook(Hook):
    """Report what is trained or tested: data, classes, model, schedule, and the log file.

    Args:
        samples: What the datasets hold, such as 'images'.
    """

    priority = 'VERY_LOW'  # after the checks of other hooks, before PendingValidationHook

    def __init__(self, samples: str = 'samples') -> None:
        self.samples = samples

    def before_train(self, runner: Any) -> None:
        if is_main_process():
            self._report(runner, 'Training', _training_lines(runner, self.samples))
        started()

    def before_test(self, runner: Any) -> None:
        if is_main_process():
            self._report(runner, 'Testing', _test_lines(runner, self.samples))
        started()

    @staticmethod
    def _report(runner: Any, title: str, lines: Iterator[tuple[str, str]]) -> None:
        shown = '\n'.join(f'  {name:<14}{text}' for name, text in lines)
        on_terminal(runner.logger, f'{title}\n{shown}')


def _training_lines(runner: Any, what: str) -> Iterator[tuple[str, str]]:
    train_loader = runner.train_loop.dataloader
    loaders = {'training': train_loader}
    if runner.val_loop is not None:
        loaders['validation'] = runner.val_loop.dataloader
    yield from _data_lines(runner, loaders, what)
    yield 'model', _model(runner)
    yield 'weights', _weights(runner)
    wrapper = runner.optim_wrapper
    wrappers = dict(wrapper.items()) if isinstance(wrapper, OptimWrapperDict) else {'': wrapper}
    yield 'batch', _batch(train_loader, next(iter(wrappers.values())))
    yield 'learning rate', '; '.join(_learning_rate(*item) for item in wrappers.items())
    yield 'schedule', _schedule(runner)
    yield 'log', str(runner.logger.log_file or runner.log_dir)


def _test_lines(runner: Any, what: str) -> Iterator[tuple[str, str]]:
    yield from _data_lines(runner, {'test': runner.test_loop.dataloader}, what)
    yield 'model', _model(runner)
    yield 'weights', _weights(runner)
    yield 'log', str(runner.logger.log_file or runner.log_dir)


def _data_lines(runner: Any, loaders: dict[str, Any], what: str) -> Iterator[tuple[str, str]]:
    for name, loader in loaders.items():
        parts = list(leaf_datasets(loader.dataset))
        text = f'{sum(map(len, parts)):,} {what}'
        objects = [count for count in map(count_objects, parts) if count is not None]
        if objects:
            text += f', {sum(objects):,} objects'
        if len(loader.dataset) != sum(map(len, parts)):
            text += f' ({len(loader.dataset):,} samples in one pass)'
        roots = {root for root in (getattr(part, 'data_root', '') for part in parts) if root}
        yield name, text + (f', in {", ".join(sorted(map(str, roots)))}' if roots else '')
    classes = (getattr(loader.dataset, 'metainfo', None) or {}).get('classes')
    model = _innermost(runner.model)
    head = getattr(model, 'cls_head', getattr(model, 'head', None))
    if classes:
        more = f' and {len(classes) - SHOWN} more' if len(classes) > SHOWN else ''
        yield 'classes', f'{len(classes)}: {", ".join(map(str, classes[:SHOWN]))}{more}'
    elif hasattr(head, 'num_classes'):  # list files may have numbers as labels
        yield 'classes', f'{head.num_classes}'


def count_objects(dataset: Any) -> int | None:
    """Number of annotated objects, without ignored ones; None for a dataset without objects."""
    if not len(dataset) or not hasattr(dataset, 'get_data_info'):
        return None
    if 'instances' not in dataset.get_data_info(0):
        return None
    samples = (dataset.get_data_info(index)['instances'] for index in range(len(dataset)))
    return sum(not item.get('ignore_flag') for item in itertools.chain.from_iterable(samples))


def _innermost(model: Any) -> Any:
    while hasattr(model, 'module'):  # of DDP, FSDP and test-time augmentation
        model = model.module
    return model


def _model(runner: Any) -> str:
    model = _innermost(runner.model)
    backbone = getattr(model, 'backbone', None)
    parameters = list(model.parameters())
    total = sum(p.numel() for p in parameters)
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    text = type(model).__name__
    if isinstance(model, FSDPModule):
        text = text.removeprefix('FSDP')
    if backbone is not None:
        text += f' with {type(backbone).__name__}'
    text += f', {total / 1e6:.2f} M parameters'
    if trained != total:
        text += f', {trained / 1e6:.2f} M of them trained'
    if isinstance(runner.model, BaseTTAModel):
        text += f', augmented by {type(runner.model).__name__}'
    return text


def _weights(runner: Any) -> str:
    if runner._load_from or runner._resume:
        source = runner._load_from or runner.work_dir
        if not runner._resume:
            return str(source)
        return f'resumed from {source} at iteration {runner.iter}, epoch {runner.epoch}'
    model = runner.cfg.get('model') or {}
    if model.get('file'):  # see export.model
        return f'those in {model["file"]}'
    parts = _pretrained(model, 'model')
    return '; '.join(f'{name} from {source}' for name, source in parts) or 'random initialization'


def _pretrained(part: Any, name: str) -> Iterator[tuple[str, str]]:
    """The parts of a model's config that load a checkpoint."""
    if isinstance(part, dict):
        init = part.get('init_cfg')
        if isinstance(init, dict) and init.get('checkpoint'):
            yield name, init['checkpoint']
        for key, value in part.items():
            yield from _pretrained(value, key)


def _batch(loader: Any, wrapper: OptimWrapper) -> str:
    per_process, processes = loader.batch_sampler.batch_size, get_world_size()
    passes = getattr(wrapper, '_accumulative_counts', 1)
    text = f'{per_process * processes * passes} samples per step'
    factors = [f'{per_process} per process']
    if processes > 1:
        factors.append(f'{processes} processes')
    if passes > 1:
        factors.append(f'{passes} accumulated passes')
    text += f' ({" x ".join(factors)})' if len(factors) > 1 else ''
    return f'{text}, {type(wrapper).__name__}, {loader.num_workers} workers'


def _learning_rate(name: str, wrapper: OptimWrapper) -> str:
    optimizer = wrapper.optimizer
    rates = sorted({group.get('initial_lr', group['lr']) for group in optimizer.param_groups})
    text = f'{rates[0]:g}' if len(rates) == 1 else f'{rates[0]:g} to {rates[-1]:g}, by layer'
    return f'{name} {text}, {type(optimizer).__name__}'.strip()


def _schedule(runner: Any) -> str:
    loop = runner.train_loop
    if isinstance(loop, EpochBasedTrainLoop):
        text = f'{loop.max_epochs} epochs of {len(loop.dataloader):,} steps'
    else:
        text = f'{loop.max_iters:,} iterations'
    schedulers = runner.param_schedulers or []
    if isinstance(schedulers, dict):
        schedulers = list(itertools.chain.from_iterable(schedulers.values()))
    text += ''.join(f', {line}' for line in _spans(schedulers))
    if runner.val_loop is not None:
        text += f'; validation every {loop.val_interval:,}'
    return text


def _spans(schedulers: Iterable[Any]) -> Iterator[str]:
    for scheduler in schedulers:
        unit = 'epochs' if scheduler.by_epoch else 'iterations'
        end = 'the end' if scheduler.end >= ENDLESS else f'{scheduler.end:,}'
        yield f'{type(scheduler).__name__} from {scheduler.begin:,} to {end} ({unit})'
