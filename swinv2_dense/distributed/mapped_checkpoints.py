"""Load a checkpoint of which each process keeps a part, without reading all of it everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmengine._strategy import BaseStrategy
from mmengine.dist import get_rank, get_world_size

from ..checkpoints.fetching import map_checkpoint
from ..checkpoints.reading import Share
from ..checkpoints.sharded_tensors import CopyOwnRows
from ..shared_errors import shared_errors


class MappedCheckpoints(BaseStrategy):
    """Strategies that map checkpoints into memory: what a rank does not use, it does not read.

    Each rank verifies its share of the checksums. mmengine reads the full file on each rank, when
    resuming even to the device.
    """

    def load_checkpoint(
        self, filename: str, *, callback: Callable | None = None, **settings: Any
    ) -> dict:
        """Load the weights; all ranks must call this together.

        Returns:
            The other entries. Their tensors are those of the file: copy what is kept.

        Raises:
            CheckpointError: See `read_checkpoint_file`; on all ranks.
        """
        self.logger.info(f'Load checkpoint from {filename}')
        settings.pop('map_location', None)
        with shared_errors():
            checkpoint = map_checkpoint(filename, Share(get_rank(), get_world_size()))
        with CopyOwnRows():
            if callback is not None:
                callback(checkpoint)
            self.load_model_state_dict(checkpoint.pop('state_dict'), **settings)
        return checkpoint
