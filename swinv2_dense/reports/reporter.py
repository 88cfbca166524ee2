"""The interface between a test and the page about it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..config_parts import leaf_datasets, transforms_within
from ..drawing.sheet import displayable
from ..errors import ConfigError

MOST_PICTURES = 500


class Reporter(ABC):
    """Collects what a page needs of each prediction, and makes the blocks of the page.

        sample -> record -> all records, of all processes -> blocks

    Args:
        dataset: The test dataset, built.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = single_dataset(dataset)

    @abstractmethod
    def record(self, sample: Mapping) -> dict:
        """What the page needs of a sample with a prediction, as values of JSON."""

    @abstractmethod
    def blocks(self, records: Sequence[Mapping]) -> list[Any]:
        """The blocks of the page, see `page`."""

    def image(self, path: str) -> np.ndarray:
        """An image as the pipeline of the dataset loads it, (H, W, 3) in RGB."""
        import mmcv

        steps = transforms_within(getattr(self.dataset, 'pipeline', None))
        loader = next((step for step in steps if _loads_images(step)), None)
        if loader is None:
            return mmcv.imread(path, channel_order='rgb')
        return np.ascontiguousarray(displayable(loader(dict(img_path=path))['img'])[..., ::-1])


def single_dataset(dataset: Any) -> Any:
    """The dataset within wrappers.

    Raises:
        ConfigError: There are several.
    """
    parts = list(leaf_datasets(dataset))
    if len(parts) != 1:
        raise ConfigError(
            f'a report covers one dataset, but test_dataloader concatenates {len(parts)}: test '
            'them one at a time'
        )
    return parts[0]


def _loads_images(step: Any) -> bool:
    from mmcv.transforms import LoadImageFromFile

    return isinstance(step, LoadImageFromFile)
