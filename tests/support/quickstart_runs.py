"""The quickstart's models with random weights, and small data."""

from __future__ import annotations

import re
from pathlib import Path

from commands import ROOT
from mmengine.config import Config
from random_models import save_random

from swinv2_dense.quickstart import motions, shapes, surfaces


def write_run(folder: Path, task: str) -> tuple[Path, Path]:
    """A quickstart's config for small data below `folder`, and random weights."""
    if task == 'detection':
        shapes.write_dataset(folder / 'data', shapes.ShapesSpec(train=1, val=3))
    elif task == 'segmentation':
        surfaces.write_dataset(folder / 'data', surfaces.SurfacesSpec(train=1, val=3))
    else:
        motions.write_dataset(folder / 'data', motions.MotionsSpec(train=6, val=6))
    pattern = dict(detection='htc*', segmentation='upernet*', video='*motions-rgb.py')[task]
    (path,) = (ROOT / 'configs/quickstart').glob(pattern)
    cfg = Config.fromfile(path)
    for part in ('train', 'val', 'test'):
        loader = cfg[f'{part}_dataloader']
        loader.num_workers, loader.persistent_workers = 0, False
        dataset = loader.dataset
        for key in ('data_root', 'ann_file'):
            if key in dataset:
                dataset[key] = re.sub(r'^data/[a-z]+', str(folder / 'data'), dataset[key])
        for key, value in dict(dataset.get('data_prefix') or {}).items():
            dataset.data_prefix[key] = re.sub(r'^data/[a-z]+', str(folder / 'data'), value)
        if part != 'train':
            evaluator = cfg[f'{part}_evaluator']
            for each in evaluator if isinstance(evaluator, list) else [evaluator]:
                if 'ann_file' in each:
                    each.ann_file = re.sub(r'^data/[a-z]+', str(folder / 'data'), each.ann_file)
    return save_random(cfg, folder)
