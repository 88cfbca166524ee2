"""Check panoptic datasets before the first step."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from mmdet.datasets import CocoPanopticDataset

from ...config_parts import is_local
from ...errors import ConfigError, truncate
from ...preparation.panoptic_files import PanopticImage, check_png, read_panoptic
from ..datasets import dataset_class, metainfo_of

DECODED = 20  # maps whose ids are compared before a run; prepare_data compares all


def is_panoptic(dataset: Mapping) -> bool:
    """Whether a dataset reads panoptic maps."""
    kind = dataset_class(dataset)
    return kind is not None and issubclass(kind, CocoPanopticDataset)


def check_panoptic(model: Mapping, datasets: Sequence[tuple[str, Mapping]]) -> None:
    """Check the JSON and the PNGs of panoptic datasets on local disks.

    All maps must be there with the sizes of their images; the ids of the first are compared.

    Args:
        model: Config of the detector, for its number of queries.
        datasets: Key and config of each dataset without wrappers.

    Raises:
        ConfigError: The first mistake found.
    """
    for key, dataset in datasets:
        if is_panoptic(dataset) and is_local(dataset.get('backend_args')):
            _check(model, key, dataset)


def _check(model: Mapping, key: str, dataset: Mapping) -> None:
    root, prefix = dataset.get('data_root') or '', dataset.get('data_prefix') or {}
    path = os.path.join(root, dataset.get('ann_file') or '')
    if '://' in path or not os.path.isfile(path):  # the check of files names it
        return
    named = f'{key}.ann_file={path!r}'
    try:
        images, categories = read_panoptic(path)
    except ConfigError as error:
        raise ConfigError(f'{named}: {error}') from error
    known = set(metainfo_of(key, dataset, CocoPanopticDataset).get('classes') or ())
    unknown = [category['name'] for category in categories if category['name'] not in known]
    if unknown:
        raise ConfigError(
            f'{named}: {len(unknown)} of {len(categories)} categories are not among '
            f'metainfo.classes, first {truncate(unknown, 3)}'
        )
    _check_names(named, images)
    folder = os.path.join(root, prefix.get('seg') or '')
    _check_maps(f'{key}.data_prefix.seg={folder!r}', folder, images, path)
    if key.startswith('train'):
        _check_queries(model, images)


def _check_names(named: str, images: Sequence[PanopticImage]) -> None:
    for image in images:
        wanted = image.file_name.replace('.jpg', '.png')  # where mmdet looks
        if wanted != image.png:
            raise ConfigError(
                f'{named}: the map of {image.file_name} is {image.png}, but mmdet reads {wanted}; '
                'name maps as their images, with .png instead of .jpg'
            )


def _check_maps(named: str, folder: str, images: Sequence[PanopticImage], path: str) -> None:
    if not os.path.isdir(folder):
        raise ConfigError(f'{named}: no such folder of panoptic PNGs')
    faults = [
        f'{image.png} is {fault}' if fault == 'missing' else f'{image.png}: {fault}'
        for i, image in enumerate(images)
        if (fault := check_png(folder, image, decode=i < DECODED))
    ]
    if faults:
        raise ConfigError(
            f'{named}: {len(faults)} of {len(images)} maps do not fit {path}, first {faults[0]}; '
            'python tools/prepare_data.py coco lists all'
        )


def _check_queries(model: Mapping, images: Sequence[PanopticImage]) -> None:
    queries = (model.get('panoptic_head') or {}).get('num_queries')
    most = max(images, key=lambda image: len(image.segments), default=None)
    if queries and most and len(most.segments) > queries:
        raise ConfigError(
            f'model.panoptic_head.num_queries={queries}, but {most.png} has '
            f'{len(most.segments)} segments; a query finds one, so use more'
        )
