"""Exported files as models of the libraries, for testing and inference."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from torch import Tensor

from ..checks.class_lists import first_difference
from ..config_parts import type_name
from ..errors import CheckpointError, ConfigError
from ..training.checkpoint_classes import class_names, mismatch
from .graph import REORDER
from .pipeline import fit_pipeline
from .reading import ExportedSizes, open_exported

IN_GRAPH = (*REORDER, 'mean', 'std', 'pad_size_divisor', 'batch_augments', 'test_cfg')


class ExportedRunner:
    """Computes with an exported file, or with the one of its export whose size fits.

    Args:
        file: Path of the file.

    Raises:
        CheckpointError: The file has no predictions (`--raw`, `--part`), or cannot be read.
    """

    def __init__(self, file: str) -> None:
        self.files = ExportedSizes(file)
        self.metadata = self.files.metadata
        if self.metadata.raw or self.metadata.part != 'model':
            made = '--raw' if self.metadata.raw else f'--part {self.metadata.part}'
            raise CheckpointError(
                f'{file} was exported with {made}, so it has no predictions; export the whole '
                'model for testing and inference'
            )

    def __call__(self, images: Tensor) -> tuple[dict[str, Tensor], tuple[int, int]]:
        """Images or clips (B, C, S...), as decoded, at most as large as a file.

        Returns:
            The outputs by name, and the height and width that the file computed.
        """
        height, width = images.shape[-2:]
        file, full_height, full_width = self.files.fitting(height, width)
        size = tuple(images.shape[2:-2])
        if size != tuple(self.metadata.size[:-2]):
            raise CheckpointError(
                f'{file.path} takes clips of {self.metadata.size[0]} frames, not of {size[0]}'
            )
        images = F.pad(images, (0, full_width - width, 0, full_height - height))
        if self.metadata.mean is not None:
            images = images.round().to(torch.uint8)
        sizes = torch.tensor([[height, width]]).repeat(len(images), 1)
        inputs = dict(image=images) if images.dim() == 5 else dict(image=images, image_size=sizes)
        found = {name: x.to(images.device) for name, x in file.run(inputs).items()}
        return found, (full_height, full_width)


def plain_preprocessor(model: Mapping[str, Any]) -> ConfigDict:
    """The config of a model's data preprocessor without what the graph does."""
    settings = ConfigDict(model.get('data_preprocessor') or dict(type='BaseDataPreprocessor'))
    return ConfigDict({key: value for key, value in settings.items() if key not in IN_GRAPH})


def use_exported(cfg: Any, file: str, exported_model: str | None) -> list[str]:
    """Make a config test or run an exported file instead of its model.

    Args:
        cfg: Changed in place.
        file: The path.
        exported_model: See `Task.exported_model`.

    Returns:
        A line about each step of the test pipeline that was changed, see `fit_pipeline`.

    Raises:
        CheckpointError: The file cannot be read.
        ConfigError: The task cannot run exported files.
    """
    if exported_model is None:
        raise ConfigError(f'{file}: a {type_name(cfg.model)} cannot be run from an exported file')
    sizes = ExportedSizes(file).sizes
    cfg.model = ConfigDict(type=exported_model, file=str(file), model=cfg.model)
    cfg.load_from = None
    slides = (cfg.model.model.get('test_cfg') or {}).get('mode') == 'slide'
    return [] if slides else fit_pipeline(cfg, sizes)


def check_classes(file: str, dataset: Any) -> None:
    """Raise a `CheckpointError` if a dataset has other classes than an exported file."""
    classes = open_exported(file).metadata.classes
    if classes == list(map(str, range(len(classes)))):  # the checkpoint had no names
        return
    present = class_names(getattr(dataset, 'metainfo', None))
    difference = first_difference(classes, present) if classes and present else None
    if difference is not None:
        raise CheckpointError(mismatch(file, 'test_dataloader.dataset', difference))


def refuse_for_exported(args: Namespace) -> None:
    """Raise a `ConfigError` for options that change what a model computes."""
    given = [name for name in ('amp', 'tta', 'slice') if getattr(args, name, None)]
    device = getattr(args, 'device', None) or 'cpu'
    if not device.startswith('cpu'):
        given.append('device')
    if given:
        raise ConfigError(
            f'--{given[0]} needs a checkpoint: {args.checkpoint} is exported, and computes on the '
            'CPU what it was exported to compute'
        )
