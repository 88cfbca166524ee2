"""Class names of list-file datasets, from the label map next to the list."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from mmengine.config import Config

from ..checks.class_heads import class_heads
from ..config_parts import datasets_of, is_local
from ..own_data.class_names import read_class_names

LIST_FILE = re.compile(r'(?P<dataset>.+)_(train|val|test)_list_.+\.txt')  # of mmaction2's tools


def name_classes(cfg: Config) -> None:
    """Set the class names of list-file datasets from `NAME_label_map.txt`; checkpoints store them.

    `prepare_data.py kinetics` writes this file next to `NAME_train_list_videos.txt`. It is used if
    it has one name per class of the head. Names in the config take precedence.
    """
    counts = {head['num_classes'] for _, head in class_heads(cfg.get('model') or {})}
    for loader in ('train', 'val', 'test'):
        dataset = (cfg.get(f'{loader}_dataloader') or {}).get('dataset')
        for _, part in datasets_of(loader, dataset):
            if not (part.get('metainfo') or {}).get('classes'):
                names = _label_map(part)
                if names and counts == {len(names)}:
                    part['metainfo'] = dict(part.get('metainfo') or {}, classes=names)


def _label_map(dataset: Mapping) -> tuple[str, ...]:
    path = os.path.join(dataset.get('data_root') or '', dataset.get('ann_file') or '')
    found = LIST_FILE.fullmatch(path)
    label_map = f'{found["dataset"]}_label_map.txt' if found else ''
    if not is_local(dataset.get('backend_args')) or not os.path.isfile(label_map):
        return ()
    return read_class_names(label_map)
