"""Access to the parts of a config, and to built datasets and transforms inside wrappers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mmengine.config import ConfigDict

ANNOTATION_LOADERS = ('LoadAnnotations', 'LoadPanopticAnnotations', 'LoadPanopticMaps')


def as_list(value: Any) -> list:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def type_name(part: Mapping[str, Any] | None) -> str:
    """The class name of a part; its type may be a name, with or without scope, or a class."""
    kind = (part or {}).get('type') or ''
    return getattr(kind, '__name__', str(kind)).split('.')[-1]


def datasets_of(name: str, dataset: Any) -> Iterator[tuple[str, Any]]:
    """Keys and configs of the datasets inside wrappers (RepeatDataset, ConcatDataset, ...)."""
    pending = [(f'{name}_dataloader.dataset', dataset)]
    while pending:
        key, dataset = pending.pop()
        if not isinstance(dataset, Mapping):
            continue
        inner = dataset.get('datasets') or []
        pending += [(f'{key}.datasets[{i}]', part) for i, part in enumerate(inner)]
        if 'dataset' in dataset:
            pending.append((f'{key}.dataset', dataset['dataset']))
        elif not inner:
            yield key, dataset


def loaded_datasets(cfg: Mapping, loaders: Iterable[str]) -> list[tuple[str, Mapping]]:
    """`datasets_of` for each of `loaders` ('train', 'val', 'test') of a config."""
    found = ((name, (cfg.get(f'{name}_dataloader') or {}).get('dataset')) for name in loaders)
    return [part for name, dataset in found for part in datasets_of(name, dataset)]


def plain_visualizer(cfg: Mapping, kind: str) -> ConfigDict:
    """The config's visualizer as one of type `kind` without storage backends."""
    kept = {k: v for k, v in (cfg.get('visualizer') or {}).items() if k in ('alpha', 'line_width')}
    return ConfigDict(type=kind, **kept)


def set_custom_hook(cfg: Any, hook: Mapping) -> None:
    """Add a hook to `custom_hooks` of a config, or replace the one of its type there."""
    hooks = cfg.get('custom_hooks') or []
    others = [h for h in hooks if not (isinstance(h, Mapping) and type_name(h) == type_name(hook))]
    cfg.custom_hooks = [*others, hook]


def merge_custom_hooks(cfg: Any) -> None:
    """Add the lists `custom_hooks_NAME` of a config to its `custom_hooks`.

    mmengine rejects bases that define the same key, so a base that adds a hook to any config uses
    its own key. A hook is not added if `custom_hooks` already has one of its type.
    """
    for key in [key for key in cfg if key.startswith('custom_hooks_')]:
        hooks = list(cfg.get('custom_hooks') or [])
        present = {type_name(hook) for hook in hooks if isinstance(hook, Mapping)}
        hooks += [hook for hook in cfg.pop(key) or [] if type_name(hook) not in present]
        cfg.custom_hooks = hooks


def is_local(backend_args: Mapping | None) -> bool:
    """Whether paths are local; other file backends may map them anywhere."""
    return (backend_args or {}).get('backend', 'local') in ('local', 'disk')


def leaf_datasets(dataset: Any) -> Iterator[Any]:
    """The built datasets inside wrappers (RepeatDataset, ConcatDataset, ...)."""
    inner = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    parts = [part for part in inner if part is not None]
    if not parts:
        yield dataset
    for part in parts:
        yield from leaf_datasets(part)


def transforms_within(step: Any) -> Iterator[Any]:
    """A built transform and all nested ones (Compose, TestTimeAug, RandomApply, ...)."""
    yield step
    for inner in (*as_list(getattr(step, 'transforms', [])), *getattr(step, 'subroutines', [])):
        yield from transforms_within(inner)


def step_names(steps: Iterable) -> list[str]:
    """The types of the steps of a pipeline's config, including nested ones."""
    names = []
    for step in steps:
        is_list = isinstance(step, (list, tuple))
        names += [] if is_list else [type_name(step)]
        names += step_names(step if is_list else step.get('transforms') or [])
    return names


def annotated_first(pipeline: list) -> list:
    """A pipeline that loads annotations right after the image, so that they are resized with it.

    Test pipelines of mmdet and mmseg load them after resizing, at the original size, to evaluate.
    """
    names = [getattr(step.type, '__name__', step.type) for step in pipeline]
    loaders = [i for i, name in enumerate(names) if name in ANNOTATION_LOADERS]
    if 'LoadImageFromFile' not in names or not loaders:
        return pipeline
    image, annotations = names.index('LoadImageFromFile'), loaders[0]
    if 'Resize' not in names[image:annotations]:
        return pipeline
    steps = list(pipeline)
    steps.insert(image + 1, steps.pop(annotations))
    return steps
