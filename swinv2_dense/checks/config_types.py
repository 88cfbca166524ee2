"""Check every `type` of a config against the registries, and its arguments against the class.

The registry of a part follows from its key: `train_dataloader.dataset.pipeline` holds transforms,
`custom_hooks` hooks. Types below `model` may come from any registry. Nothing is built.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

from mmengine import registry as registries
from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from ..errors import ConfigError
from .config_lines import Origin
from .names import nearest, suggestion
from .signatures import accepted, arguments

Path = tuple[str | int, ...]
# Registries that parts of a model may come from.
ANY = (
    registries.MODELS,
    registries.TASK_UTILS,
    registries.WEIGHT_INITIALIZERS,
    registries.TRANSFORMS,
    registries.DATASETS,
)
SKIPPED = ('type', '_scope_', '_delete_')
# Dicts with arbitrary keys, or keys for other libraries; mmaction2's tokenizers have their own
# registry.
FREE = (
    'tokenizer',
    'metainfo',
    'meta',
    'custom_keys',
    'dist_cfg',
    'define_metric_cfg',
    'mapping',
    'remapping',
)
FREE_ENDINGS = ('kwargs', '_args')
OTHER_LIBRARIES = ('torchvision.', 'timm.')  # mmaction2 accepts their backbones
FOREIGN_CONTENTS = ('Albu', 'Imgaug', 'TorchVisionWrapper', 'PytorchVideoWrapper')
# Registries by the key of their parts, at any level.
BY_KEY = {
    'dataset': registries.DATASETS,
    'datasets': registries.DATASETS,
    'pipeline': registries.TRANSFORMS,
    'transforms': registries.TRANSFORMS,
    'vis_backends': registries.VISBACKENDS,
    'optimizer': registries.OPTIMIZERS,
    'model_wrapper': registries.MODEL_WRAPPERS,
}
# Top-level keys: their registry, and the default type.
PLACES = {
    'runner_type': (registries.RUNNERS, None),
    'model': (registries.MODELS, None),
    'tta_model': (registries.MODELS, None),
    'data_preprocessor': (registries.MODELS, None),
    'custom_hooks': (registries.HOOKS, None),
    'param_scheduler': (registries.PARAM_SCHEDULERS, None),
    'visualizer': (registries.VISUALIZERS, 'Visualizer'),
    'log_processor': (registries.LOG_PROCESSORS, 'LogProcessor'),
    'optim_wrapper': (registries.OPTIM_WRAPPERS, 'OptimWrapper'),
    'val_cfg': (registries.LOOPS, 'ValLoop'),
    'test_cfg': (registries.LOOPS, 'TestLoop'),
    'strategy': (registries.STRATEGIES, None),
    'model_wrapper_cfg': (registries.MODEL_WRAPPERS, 'MMDistributedDataParallel'),
    'tta_pipeline': (registries.TRANSFORMS, None),
}
# Keys that the builder removes before it calls the class.
TAKEN = {
    'param_scheduler': {'convert_to_iter_based', 'epoch_length'},
    'optim_wrapper': {'constructor', 'paramwise_cfg', 'optimizer'},
    'train_cfg': {'by_epoch', 'micro_batches'},
}
# Accepted by mmcv's builders of norms and activations, and by `Runner.register_hook`.
EXTRA = {None: {'requires_grad', 'inplace'}, registries.HOOKS: {'priority'}}
LOADER = {'dataset', 'num_batch_per_epoch', 'disable_subprocess_warning'}
DICTS = {  # dicts without a type, and what reads them
    'randomness': Runner.set_randomness,
    'auto_scale_lr': {'enable', 'base_batch_size'},
    'env_cfg': {'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'},
    'env_cfg.mp_cfg': {'mp_start_method', 'opencv_num_threads'},
}


class ConfigPart(NamedTuple):
    """A dict of a config from which something is built."""

    path: Path
    settings: Mapping
    registry: Registry | None  # None: any
    scope: str | None
    default: str | None = None  # its type if it names none
    parent: Callable | None = None  # the class it is an argument of

    @property
    def key(self) -> str:
        return '.'.join(map(str, self.path))

    @property
    def kind(self) -> Any:
        return self.settings.get('type', self.default)


def check_types(
    cfg: Config, parts: Collection[str] | None = None, options: Collection[str] = ()
) -> None:
    """Check types and arguments in a config, or in some of its top-level keys.

    Args:
        parts: Top-level keys; those of `options` are checked too.
        options: Keys that --cfg-options set, such as 'model.backbone.arch'.

    Raises:
        ConfigError: The first type that is not registered or argument that its class does not
            accept, with file and line if they can be found.
    """
    origin = Origin(cfg.filename, options)
    given = {key.partition('.')[0] for key in options}
    for key in cfg if parts is None else {**dict.fromkeys(parts), **dict.fromkeys(given)}:
        try:
            value = cfg.get(key)
        except ImportError as error:  # configs may hold classes instead of names
            raise ConfigError(f'{key}: {" ".join(str(error).split())}') from error
        if key == 'runner_type' and isinstance(value, str):
            value = dict(type=value)
        if value is not None:
            _check_dicts(origin, key, value)
            if key == 'optim_wrapper':
                _check_constructor(origin, value, cfg.get('default_scope'))
            for part in parts_of(key, value, cfg.get('default_scope')):
                check_part(part, origin)


def scope_of_model(cfg: Config) -> str | None:
    """The library of a model given as a class, or by a name with a scope.

    Raises:
        ConfigError: The class cannot be imported.
    """
    try:
        model = cfg.get('model')
        kind = model.get('type') if isinstance(model, Mapping) else None
    except ImportError as error:
        raise ConfigError(f'model: {" ".join(str(error).split())}') from error
    scope, dot, _ = str(getattr(kind, '__module__', kind)).partition('.')
    return scope if dot else None


def _check_dicts(origin: Origin, key: str, value: Any) -> None:
    for name, reader in DICTS.items():
        outer, _, inner = name.partition('.')
        settings = value.get(inner) if inner and isinstance(value, Mapping) else value
        if outer == key and isinstance(settings, Mapping):
            known = reader if isinstance(reader, set) else accepted(reader)
            _refuse_unknown(tuple(name.split('.')), settings, known, name, origin)
    if key.endswith('_dataloader') and isinstance(value, Mapping):
        known = accepted(DataLoader) | LOADER
        _refuse_unknown((key,), value, known, 'a data loader', origin)


def _check_constructor(origin: Origin, settings: Mapping, scope: str | None) -> None:
    """Check the class that builds the optimizer, and its settings."""
    name = settings.get('constructor')
    if name is None:
        return
    root = registries.OPTIM_WRAPPER_CONSTRUCTORS
    kind = _registered(name, root, scope) if isinstance(name, str) else name
    if kind is None:
        path = ('optim_wrapper', 'constructor')
        remedy = suggestion(name, {*root.module_dict, *_scoped(root, scope).module_dict})
        raise ConfigError(f'{origin(path)}{".".join(path)}={name!r} is not registered{remedy}')
    known, given = getattr(kind, 'PARAMWISE', None), settings.get('paramwise_cfg')
    if known and given:
        path = ('optim_wrapper', 'paramwise_cfg')
        _refuse_unknown(path, given, set(known), kind.__name__, origin)


def parts_of(key: str, value: Any, scope: str | None) -> Iterator[ConfigPart]:
    """The parts below a top-level key, outer ones first."""
    if key.endswith('_dataloader') and isinstance(value, Mapping):
        for name, place in (
            ('dataset', registries.DATASETS),
            ('sampler', registries.DATA_SAMPLERS),
            ('batch_sampler', registries.DATA_SAMPLERS),
        ):
            yield from _below((key, name), value.get(name), place, scope, None)
        # mmengine looks up these functions in its root registry only.
        yield from _below(
            (key, 'collate_fn'), value.get('collate_fn'), registries.FUNCTIONS, '', None
        )
    elif key.endswith('_evaluator'):
        if isinstance(value, Mapping) and 'metrics' in value:
            yield ConfigPart((key,), value, registries.EVALUATOR, scope, 'Evaluator')
            yield from _below((key, 'metrics'), value['metrics'], registries.METRICS, scope, None)
        else:
            yield from _below((key,), value, registries.METRICS, scope, None)
    elif key == 'default_hooks' and isinstance(value, Mapping):
        for name, hook in value.items():
            yield from _below((key, name), hook, registries.HOOKS, scope, None)
    elif key == 'train_cfg' and isinstance(value, Mapping):
        default = 'EpochBasedTrainLoop' if value.get('by_epoch') else 'IterBasedTrainLoop'
        yield ConfigPart((key,), value, registries.LOOPS, scope, default)
    elif key in PLACES:
        place, default = PLACES[key]
        yield from _below((key,), value, place, scope, None, default)


def _below(
    path: Path,
    value: Any,
    registry: Registry | None,
    scope: str | None,
    parent: Callable | None,
    default: str | None = None,
) -> Iterator[ConfigPart]:
    if isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from _below((*path, i), item, registry, scope, parent)
        return
    if not isinstance(value, Mapping) or is_free(path[-1]):
        return
    scope = value.get('_scope_') or scope
    part = ConfigPart(path, value, registry, scope, default, parent)
    kind = parent
    several = path in (('optim_wrapper',), ('param_scheduler',)) and 'type' not in value
    if several and 'optimizer' not in value:  # one per optimizer, by name
        names = [name for name, inner in value.items() if isinstance(inner, (Mapping, list))]
        for name in names if path == ('param_scheduler',) else ():
            yield from _below((*path, name), value[name], registry, scope, None)
        return
    if 'type' in value or registry is not None:
        yield part
        kind = find(part)
        if getattr(kind, '__name__', '') in FOREIGN_CONTENTS:
            return
    for name, inner in value.items():
        if name != 'type':
            place = BY_KEY.get(name) if path[0] != 'model' and path[0] != 'tta_model' else None
            yield from _below((*path, name), inner, place, scope, kind)


def is_free(name: str | int) -> bool:
    """Whether a dict of this name has arbitrary keys, or keys for other libraries."""
    return name in FREE or (isinstance(name, str) and name.endswith(FREE_ENDINGS))


def find(part: ConfigPart) -> Callable | None:
    """The class or function that builds a part; None if no such type is registered."""
    kind = part.kind
    if not isinstance(kind, str):
        return kind if callable(kind) else None
    for root in ANY if part.registry is None else [part.registry]:
        found = _registered(kind, root, part.scope)
        if found is not None:
            return found
    # Operators are given by name, such as RoIAlign and nms.
    return getattr(sys.modules.get('mmcv.ops'), kind, None) if part.registry is None else None


def _scoped(root: Registry, scope: str | None) -> Registry:
    """The child of a registry for a library; the registry itself if it has none."""
    if scope and scope not in root.children:
        with contextlib.suppress(ImportError):
            importlib.import_module(f'{scope}.registry')
    return root.children.get(scope, root)


@functools.cache
def _registered(name: str, root: Registry, scope: str | None) -> Callable | None:
    return _scoped(root, scope).get(name)


def check_part(part: ConfigPart, origin: Origin) -> None:
    """Check that the type of a part is registered and accepts its arguments.

    Raises:
        ConfigError: It has no type, an unknown one, or an argument that its class does not accept.
    """
    if part.kind is None:
        place = origin(part.path)
        raise ConfigError(
            f'{place}{part.key} has no type, so nothing can be built from '
            f'{_short(part.settings)}; set {part.key}.type=NAME'
        )
    kind = find(part)
    excused = _source(part.parent) if inspect.isclass(part.parent) else ''
    named = str(part.kind).startswith(OTHER_LIBRARIES) or repr(part.kind) in excused
    if kind is None and not named:
        raise ConfigError(_unregistered(part, origin))
    if kind is None or str(getattr(kind, '__module__', '')).startswith('mmcv.ops'):
        return
    names, takes_any = arguments(kind)
    known = names | TAKEN.get(str(part.path[0]), set()) | EXTRA.get(part.registry, set())
    if part.path[-1] == 'init_cfg':  # models that load their weights themselves
        known = known.union(getattr(part.parent, 'INIT_SETTINGS', ()))
    unknown = {
        name: value
        for name, value in part.settings.items()
        if name not in known and repr(str(name)) not in excused
    }
    if takes_any:  # **kwargs may be passed on and fail after an epoch: look for typos
        outer = part.registry is not None
        unknown = {k: v for k, v in unknown.items() if outer and nearest(k, names, 1, 0.85)}
    _refuse_unknown(part.path, unknown, known, kind.__name__, origin, names)


@functools.cache
def _source(kind: type) -> str:
    """Source of the modules of a class and its bases, which may consume settings themselves."""
    text = []
    for name in dict.fromkeys(base.__module__ for base in kind.__mro__[:-1]):
        with contextlib.suppress(OSError, TypeError, KeyError):
            text.append(inspect.getsource(sys.modules[name]))
    return '\n'.join(text).replace('"', "'")


def _refuse_unknown(
    path: Path,
    settings: Mapping,
    known: Collection[str],
    owner: str,
    origin: Origin,
    offered: Collection[str] | None = None,
) -> None:
    for name in settings:
        if name not in known and name not in SKIPPED:
            place = origin((*path, name))
            key = '.'.join(map(str, path))
            inherited = f'{key}.type' in origin.options and not place.startswith('--')
            raise ConfigError(
                f'{place}{key}.{name}={_short(settings[name])}: {owner} takes no {name!r}'
                f'{suggestion(name, offered or known) or _listing(offered or known)}'
                f'{f"; add {key}._delete_=True to drop it" if inherited else ""}'
            )


def _listing(known: Collection[str]) -> str:
    shown = sorted(known - {'runner', 'optimizer', 'params', 'dataloader'} if known else known)
    return f'; it takes {", ".join(shown[:12])}{", ..." if len(shown) > 12 else ""}'


def _unregistered(part: ConfigPart, origin: Origin) -> str:
    place = origin((*part.path, 'type'))
    scope, _, last = str(part.kind).rpartition('.')
    names = set()
    for root in ANY if part.registry is None else [part.registry]:
        names |= {*_scoped(root, scope or part.scope).module_dict, *root.module_dict}
    remedy = suggestion(last, names) or '; add the module that registers it to custom_imports'
    what = part.registry.root.name if part.registry is not None else 'model part'
    return f'{place}{part.key}.type={part.kind!r} is not a registered {what}{remedy}'


def _short(value: Any) -> str:
    text = repr(dict(value) if isinstance(value, Mapping) else value)
    return text if len(text) <= 60 else f'{text[:57]}...'
