"""Check the classes, images and test windows of mmseg configs before a run starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..checks.class_heads import check_heads
from ..checks.class_lists import check_same_classes
from ..config_parts import is_local, step_names, type_name
from ..errors import ConfigError


def check_segmentation(
    model: Mapping,
    datasets: Iterable[tuple[str, Mapping]],
    others: Iterable[tuple[str, Mapping]] = (),
) -> None:
    """Compare the heads of a segmentor with the classes of mmseg datasets, and find empty ones.

    Args:
        model: Config of the segmentor, or of the test-time augmentation around it.
        datasets: Key and config of each dataset without wrappers.
        others: The same for the config's datasets that this command does not read.

    Raises:
        ConfigError: The number of classes of a head is wrong, a dataset has no images or omits
            some, or test windows leave gaps.
    """
    from mmseg.datasets import BaseSegDataset
    from mmseg.registry import DATASETS

    from .left_out import ListedDataset, check_left_out
    from .tiled_inference import windows

    model = model.get('module', model)
    try:
        windows(model.get('test_cfg') or {}, (1, 1))
    except ValueError as error:
        raise ConfigError(str(error)) from error
    first, listed = None, []
    for key, config in datasets:
        kind = config.get('type')
        kind = DATASETS.get(kind) if isinstance(kind, str) else kind
        if not isinstance(kind, type) or not issubclass(kind, BaseSegDataset):
            continue
        settings = {k: v for k, v in config.items() if k not in ('type', '_scope_')}
        try:
            dataset = kind(**{**settings, 'pipeline': [], 'lazy_init': True})
        except (TypeError, ValueError, AssertionError) as error:
            raise ConfigError(f'{key}: {error}') from error
        classes = dataset.metainfo.get('classes')
        if classes and 'LoadAnnotations' in step_names(config.get('pipeline', [])):
            check_heads(model, key, classes)
            first = first or (key, classes)
            check_same_classes(first, (key, classes))
        if is_local(dataset.backend_args):
            listed.append(ListedDataset(key, dataset, dataset.load_data_list()))
            if not listed[-1].samples:
                raise ConfigError(_empty(key, dataset))
    check_left_out(listed, others)


def _empty(key: str, dataset: Any) -> str:
    folder = dataset.data_prefix.get('img_path')
    if dataset.ann_file or not folder:
        return f'{key}.ann_file={dataset.ann_file!r} lists no images'
    suffixes = sorted({path.suffix for path in Path(folder).rglob('*') if path.is_file()})
    wanted = f'ends in img_suffix={dataset.img_suffix!r}'
    if type_name(dict(type=type(dataset))) == 'FolderSegDataset':
        wanted = 'is an image'
    return (
        f'{key}: no file in {folder} {wanted}; there are {", ".join(suffixes[:5]) or "none at all"}'
    )
