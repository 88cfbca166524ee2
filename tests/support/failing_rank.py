"""A dataset that fails in one of several processes, in the second step."""

from __future__ import annotations

from mmengine.dist import get_rank
from mmengine.registry import DATASETS
from mmseg.datasets import BaseSegDataset


@DATASETS.register_module()
class FailingDataset(BaseSegDataset):
    """Rank 1 has the samples 1, 3, 5, ...; its error comes with the second."""

    def __getitem__(self, index: int) -> dict:
        if get_rank() == 1 and index == 3:
            raise RuntimeError('the disk of process 1 is gone')
        return super().__getitem__(index)
