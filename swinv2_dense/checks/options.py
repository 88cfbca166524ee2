"""`--cfg-options KEY=VALUE`: a key that nothing reads is an error instead of being ignored."""

from __future__ import annotations

import argparse
import functools
import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction
from mmengine.registry import RUNNERS
from mmengine.runner import FlexibleRunner, Runner

from ..errors import ConfigError
from .config_types import is_free
from .names import nearest, suggestion
from .signatures import accepted

# Top-level keys that runners, besides their own arguments, and the commands read.
ALSO_READ = {
    *('runner_type', 'model_wrapper_cfg', 'sync_bn', 'find_unused_parameters', 'custom_imports'),
    *('activation_checkpointing', 'efficient_conv_bn_eval', 'init_weights_for_test_or_val'),
    *('tta_model', 'tta_pipeline', 'expected'),
}
# Keys of MMDetection 2, MMSegmentation 0 and MMAction2 0, or their beginnings, and the new keys.
RENAMED = {
    'data.samples_per_gpu': 'train_dataloader.batch_size',
    'data.workers_per_gpu': 'train_dataloader.num_workers',
    'data.videos_per_gpu': 'train_dataloader.batch_size',
    **{f'data.{part}_dataloader': f'{part}_dataloader' for part in ('train', 'val', 'test')},
    **{f'data.{part}': f'{part}_dataloader.dataset' for part in ('train', 'val', 'test')},
    **{f'{part}_pipeline': f'{part}_dataloader.dataset.pipeline' for part in ('train', 'test')},
    'data': 'train_dataloader',
    'optimizer': 'optim_wrapper.optimizer',
    'optimizer_config.grad_clip': 'optim_wrapper.clip_grad',
    'optimizer_config': 'optim_wrapper',
    'lr_config': 'param_scheduler',
    'momentum_config': 'param_scheduler',
    'runner': 'train_cfg',
    'total_epochs': 'train_cfg.max_epochs',
    'total_iters': 'train_cfg.max_iters',
    'workflow': 'train_cfg.val_interval',
    'checkpoint_config': 'default_hooks.checkpoint',
    'log_config.hooks': 'visualizer.vis_backends',
    'log_config': 'default_hooks.logger',
    'evaluation.interval': 'train_cfg.val_interval',
    'evaluation.save_best': 'default_hooks.checkpoint.save_best',
    'evaluation.rule': 'default_hooks.checkpoint.rule',
    'evaluation': 'val_evaluator',
    'resume_from': '--resume CHECKPOINT',
    'auto_resume': '--resume',
    'seed': 'randomness.seed',
    'deterministic': 'randomness.deterministic',
    'cudnn_benchmark': 'env_cfg.cudnn_benchmark',
    'opencv_num_threads': 'env_cfg.mp_cfg.opencv_num_threads',
    'mp_start_method': 'env_cfg.mp_cfg.mp_start_method',
    'dist_params': 'env_cfg.dist_cfg',
    'fp16': '--amp',
    'img_norm_cfg': 'model.data_preprocessor',
    'gpu_ids': '--launcher',
}


class OptionsAction(DictAction):
    """mmengine's action, with errors that argparse reports."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        for text in values or ():
            key, equals, _ = text.partition('=')
            if not equals or not all(key.split('.')):
                raise argparse.ArgumentError(
                    self, f'{text!r} is not KEY=VALUE, such as model.backbone.arch=s'
                )
        try:
            super().__call__(parser, namespace, values, option_string)
        except (AssertionError, RecursionError) as error:  # unbalanced brackets
            raise argparse.ArgumentError(self, str(error)) from error


def merge_options(cfg: Config, options: Mapping[str, Any]) -> None:
    """Merge `--cfg-options` into a config.

    `check_types` checks new arguments of classes.

    Raises:
        ConfigError: Nothing reads a key, or it leads through a value that is not a dict.
    """
    for key, value in options.items():
        try:
            _check_key(cfg, key, options)
        except ConfigError as error:
            raise ConfigError(f'--cfg-options {key}={value!r}: {error}') from error
    cfg.merge_from_dict(dict(options))


def top_level_keys(cfg: Mapping) -> set[str]:
    """The keys of a config that a runner or a command reads."""
    known = {*accepted(Runner), *accepted(FlexibleRunner), *ALSO_READ} - {'cfg'}
    kind = RUNNERS.get(str(cfg.get('runner_type')))
    return known | (accepted(kind) or set() if kind else set())


def misspelled_keys(cfg: Config) -> list[str]:
    """A line for each top-level dict that is probably a misspelled setting.

    Other unknown keys are variables, which configs may have.
    """
    known = top_level_keys(cfg)
    # test_pipeline is a common variable, and similar to tta_pipeline.
    unset = [key for key in known if key not in cfg and not key.startswith('tta_')]
    lines = []
    for key, value in cfg.items():
        meant = nearest(key, unset, 1, 0.85) if key not in known else []
        if meant and isinstance(value, (Mapping, list, str)):
            lines.append(f'{key} in {cfg.filename} is not read; did you mean {meant[0]!r}?')
    return lines


def _check_key(cfg: Config, key: str, options: Mapping[str, Any]) -> None:
    first, *rest = key.split('.')
    for other in options:
        if key.startswith(f'{other}.') and not isinstance(options[other], Mapping):
            raise ConfigError(f'{other} is also given, and is not a dict; give only one of them')
    if first == 'launcher':
        raise ConfigError('use --launcher')
    known = top_level_keys(cfg)
    if first not in known:
        raise ConfigError(_unknown_top(cfg, first, rest, known))
    if first == 'data_preprocessor' and 'data_preprocessor' in (cfg.get('model') or {}):
        raise ConfigError(f'the model has its own; set model.{key}')
    value, path = cfg.get(first), first
    if first == 'default_hooks' and rest:
        _check_hook_name(value or {}, rest[0], options)
    for step in rest:
        if first not in cfg or options.get(f'{path}._delete_'):
            return  # a new dict, whose content is checked
        if isinstance(value, Mapping) and is_free(path.rpartition('.')[2]):
            return
        if isinstance(value, (list, tuple)):
            if not step.isdecimal() or int(step) >= len(value) or isinstance(value, tuple):
                what = 'tuple: set it as a whole' if isinstance(value, tuple) else 'list'
                end = f' of {len(value)}; its keys are 0 to {len(value) - 1}' if value else ''
                raise ConfigError(f'{path} is a {what}{end if what == "list" else ""}')
            value = value[int(step)]
        elif isinstance(value, Mapping):
            if step not in value and step.isdecimal() and int(step) not in value:
                raise ConfigError(f'{path} is a dict, not a list; leave out .{step}')
            if step not in value:
                _check_new_key(cfg, path, value, step)
                return
            value = value[step]
        else:
            raise ConfigError(
                f'{path} is {value!r}, not a dict; to replace it, also give {path}._delete_=True'
            )
        path = f'{path}.{step}'


def _check_hook_name(hooks: Mapping, name: str, options: Mapping[str, Any]) -> None:
    given = isinstance(options.get(f'default_hooks.{name}'), Mapping)
    if name not in hooks and f'default_hooks.{name}.type' not in options and not given:
        raise ConfigError(
            f'the config has no such hook{suggestion(name, hooks)} '
            f'(a new one needs default_hooks.{name}.type)'
        )


def _check_new_key(cfg: Config, path: str, owner: Mapping, key: str) -> None:
    """Reject a key of a dict without a type if no source that could read it mentions it.

    The arguments of classes, loaders and loops are checked elsewhere.
    """
    plain = 'type' not in owner and path.startswith(('model.', 'tta_model.', 'optim_wrapper.'))
    if key != '_delete_' and plain and not _mentioned(key, *_packages(cfg)):
        known = ', '.join(map(str, owner)) or 'nothing yet'
        raise ConfigError(
            f'nothing reads such a key{suggestion(key, owner) or f"; {path} holds {known}"}'
        )


def _packages(cfg: Config) -> list[str]:
    imports = (cfg.get('custom_imports') or {}).get('imports') or []
    names = [imports] if isinstance(imports, str) else list(imports)
    scope = cfg.get('default_scope') or 'mmengine'
    return sorted({'swinv2_dense', 'mmengine', 'mmcv', scope, *names})


@functools.cache
def _mentioned(word: str, *packages: str) -> bool:
    """Whether the source of one of these packages or modules contains a word."""
    pattern = re.compile(rf'\b{re.escape(word)}\b'.encode())
    for package in packages:
        spec = importlib.util.find_spec(package) if package not in sys.modules else None
        module = sys.modules.get(package)
        folders = list(getattr(module or spec, '__path__', None) or [])
        folders += list(getattr(spec, 'submodule_search_locations', None) or [])
        origin = getattr(module, '__file__', None) or getattr(spec, 'origin', None)
        files = [file for folder in folders for file in Path(folder).rglob('*.py')]
        files += [Path(origin)] if origin else []
        if any(pattern.search(file.read_bytes()) for file in files if '.mim' not in file.parts):
            return True
    return False


def _unknown_top(cfg: Config, first: str, rest: Sequence[str], known: set[str]) -> str:
    key = '.'.join([first, *rest])
    places = _uses(cfg, first, known) if first in cfg else []
    if places or (first in cfg and first not in RENAMED):
        more = f' and {len(places) - 3} more' if len(places) > 3 else ''
        named = ', '.join('.'.join([place, *rest]) for place in places[:3])
        return (
            f'{first} is a variable of the config file, which is already evaluated'
            f'{f"; set {named}" if places else ""}{more}'
        )
    for old in sorted(RENAMED, key=len, reverse=True):
        if key == old or key.startswith(f'{old}.'):
            new = RENAMED[old]
            left = '' if new.startswith('--') else key[len(old) :]
            return f'nothing reads it; in this version it is {new}{left}'
    ends = [path for path in _paths(cfg, known) if path.endswith(f'.{key}')]
    if ends:
        return f'nothing reads it; did you mean {ends[0]!r}?'
    meant = nearest(first, {*known, *(name for name in cfg if name in known)})
    remedy = (
        f'did you mean {".".join([meant[0], *rest])!r}?' if meant else 'see the config in the log'
    )
    return f'nothing reads it; {remedy}'


def _uses(cfg: Config, name: str, known: set[str]) -> list[str]:
    """Paths of the settings that have the value of a variable."""
    value = cfg[name]
    named = [p for p, v in _items(cfg, known) if p.endswith(f'.{name}') and v == value]
    if named or not isinstance(value, (str, list, tuple, Mapping)) or not value:
        return named
    return [path for path, other in _items(cfg, known) if type(other) is type(value)
            and other == value]  # fmt: skip


def _paths(cfg: Config, known: set[str]) -> list[str]:
    return [path for path, _ in _items(cfg, known)]


def _items(cfg: Config, known: set[str]) -> Iterator[tuple[str, Any]]:
    """Paths and values below the top-level keys that are read, outer ones first."""
    pending = [(str(key), cfg[key]) for key in cfg if key in known]
    while pending:
        path, value = pending.pop(0)
        yield path, value
        inner = value.items() if isinstance(value, Mapping) else ()
        inner = enumerate(value) if isinstance(value, (list, tuple)) else inner
        pending += [(f'{path}.{key}', part) for key, part in inner]
