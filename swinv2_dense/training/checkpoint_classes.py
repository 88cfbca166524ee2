"""Class names stored in a checkpoint, compared with those of the data.

A model knows its classes by number only. Where the data lists the same classes in another order, or
has renamed one, every shape still fits, and names, accuracy or AP are wrong without a word.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS
from mmengine.runner import BaseLoop

from ..checks.class_lists import first_difference
from ..config_parts import type_name
from ..errors import CheckpointError

REMEDY = (
    'Give the data the classes of the checkpoint in the same order (metainfo.classes, and with it '
    'the categories of the annotation file, the lines of classes.txt or the class folders), or use '
    'a checkpoint that was trained on these classes.'
)
CLASS_AGNOSTIC = ('RPN',)  # detectors that find objects of any class


@HOOKS.register_module()
class CheckpointClassesHook(Hook):
    """Compare the class names in a checkpoint with those of the dataset.

    Testing and resuming with other names, or another order, is an error. Fine-tuning (`load_from`)
    is what one does for other classes: with as many of them the head keeps its weights, which is a
    warning; with another number `LoadReportHook` reports the head as initialized anew.

    Raises:
        CheckpointError: In testing or resuming, names the first class that differs.
    """

    priority = 'VERY_HIGH'  # before the hooks that compare shapes: names say more

    def after_load_checkpoint(self, runner: Any, checkpoint: Mapping) -> None:
        trained = classes_of_checkpoint(checkpoint)
        key, present = _classes_of_data(runner)
        source = str(runner._load_from or runner.work_dir)
        if not knows_classes(runner.cfg.get('model') or {}):
            return
        if not trained or not present:
            if trained or present:
                nameless = f'checkpoint {source}' if present else f'{key}.dataset'
                print_log(
                    f'{nameless} has no class names, so classes are not compared by name', 'current'
                )
            return
        difference = first_difference(trained, present)
        if difference is None:
            return
        if runner._resume or not isinstance(runner._train_loop, BaseLoop):
            raise CheckpointError(mismatch(source, f'{key}.dataset', difference))
        if len(trained) == len(present):
            print_log(
                f'load_from={source!r} was trained on other classes than {key}.dataset has: '
                f'{difference}. There are equally many, so the head starts with weights of the '
                f'classes of the checkpoint: {", ".join(trained[:10])}; those of the data are '
                f'{", ".join(present[:10])}',
                'current',
                logging.WARNING,
            )


def mismatch(source: str, data: str, difference: str) -> str:
    """The message for a checkpoint used with data of other classes."""
    return (
        f'checkpoint {source} was trained on other classes than {data} has: {difference}. {REMEDY}'
    )


def classes_of_checkpoint(checkpoint: Any) -> tuple[str, ...]:
    """Names that training stored, in the order of the labels; () if there are none.

    mmengine stores `meta.dataset_meta.classes`. Early 3.x versions of mmdet wrote `CLASSES` there,
    2.x versions `meta.CLASSES`.
    """
    meta = checkpoint.get('meta') if isinstance(checkpoint, Mapping) else None
    if not isinstance(meta, Mapping):
        return ()
    for part in (meta.get('dataset_meta'), meta):
        names = class_names(part)
        if names:
            return names
    return ()


def class_names(metainfo: Any) -> tuple[str, ...]:
    """`classes` of a dataset's metainfo, also in capitals; () if it has no list of names."""
    if not isinstance(metainfo, Mapping):
        return ()
    names = metainfo.get('classes') or metainfo.get('CLASSES') or ()
    return tuple(map(str, names)) if isinstance(names, (list, tuple)) else ()


def knows_classes(model: Mapping) -> bool:
    """Whether the numbers that a model predicts stand for the classes of its training data."""
    model = model.get('module', model)  # within test-time augmentation
    return 'language_model' not in model and type_name(model) not in CLASS_AGNOSTIC


def _classes_of_data(runner: Any) -> tuple[str, tuple[str, ...]]:
    """The loader that the runner is about to use, and the names of its classes."""
    for name in ('train', 'test', 'val'):
        loop = getattr(runner, f'_{name}_loop', None)
        if isinstance(loop, BaseLoop):
            return f'{name}_dataloader', class_names(
                getattr(loop.dataloader.dataset, 'metainfo', None)
            )
    return 'test_dataloader', ()
