"""Comparison of the class names in a checkpoint with those of the data.

A model outputs class indices. If the data lists the same classes in another order, every shape
still fits, but names, accuracy and AP are silently wrong.
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

    Testing or resuming with other names, or another order, is an error. Fine-tuning (`load_from`)
    is meant for other classes: with the same number of classes the head keeps its weights, which
    logs a warning; with another number `LoadReportHook` reports that the head is reinitialized.

    Raises:
        CheckpointError: In testing or resuming; names the first class that differs.
    """

    priority = 'VERY_HIGH'  # before the hooks that compare shapes, whose messages say less

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
                    f'{nameless} has no class names, so class names are not compared', 'current'
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
                f'{difference}. Their number is the same, so the head starts with the weights for '
                f'the classes of the checkpoint: {", ".join(trained[:10])}; those of the data are '
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
    """Class names that a training stored, in the order of the labels; () if there are none.

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
    """`classes` or `CLASSES` of a dataset's metainfo; () if it has no list of names."""
    if not isinstance(metainfo, Mapping):
        return ()
    names = metainfo.get('classes') or metainfo.get('CLASSES') or ()
    return tuple(map(str, names)) if isinstance(names, (list, tuple)) else ()


def knows_classes(model: Mapping) -> bool:
    """Whether the labels that a model predicts are indices into its training classes."""
    model = model.get('module', model)  # inside test-time augmentation
    return 'language_model' not in model and type_name(model) not in CLASS_AGNOSTIC


def _classes_of_data(runner: Any) -> tuple[str, tuple[str, ...]]:
    """The loader that the runner is about to use, and its class names."""
    for name in ('train', 'test', 'val'):
        loop = getattr(runner, f'_{name}_loop', None)
        if isinstance(loop, BaseLoop):
            return f'{name}_dataloader', class_names(
                getattr(loop.dataloader.dataset, 'metainfo', None)
            )
    return 'test_dataloader', ()
