"""`load_from` of a classifier accepts released files as they are."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS

from ..checkpoints.classifiers import as_classifier
from ..checkpoints.formats import summarize_keys
from ..distributed.parameters import unwrapped_model
from ..training.backbone_weights import source_of


@HOOKS.register_module()
class ClassifierWeightsHook(Hook):
    """Rename the parameters of a SwinV2 classifier of any format to those of `ImageClassifier`.

    Official files, those of torchvision, timm, transformers and mmpretrain, and what
    tools/convert_checkpoint.py writes. Checkpoints of this task, and models with another backbone,
    are left alone. What remains to be checked is up to the hooks of every run.

    Raises:
        CheckpointError: The checkpoint holds no SwinV2 backbone, or several.
    """

    priority = 'HIGHEST'  # before EMAHook and all checks

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        backbone = getattr(unwrapped_model(runner.model), 'backbone', None)
        if runner._resume or not hasattr(backbone, 'set_pretrained_window_sizes'):
            return
        source = source_of(runner)
        found = as_classifier(checkpoint, source)
        if found is None:
            return
        state, weights = found
        checkpoint['state_dict'] = state
        head = f'a head of {weights.num_classes} classes' if weights.head else 'no head'
        text = f'{source} is in the format of {weights}, with {head}'
        if weights.ignored:
            text += f'; not used: {len(weights.ignored)} {summarize_keys(weights.ignored)}'
        print_log(text, 'current')
