"""The interface between a test and the page about it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from ..config_parts import leaf_datasets
from ..drawing.loading import ImageLoader
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
        self.image = ImageLoader([self.dataset])

    @abstractmethod
    def record(self, sample: Mapping) -> dict:
        """What the page needs of a sample with a prediction, as values of JSON."""

    @abstractmethod
    def blocks(self, records: Sequence[Mapping]) -> list[Any]:
        """The blocks of the page, see `page`."""


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
