"""Position bias of window attention: a module that maps a window to a bias per offset and head.

All that attention sees of it is a table, (nH, 2w-1, ...), with one entry per offset.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .precision import at_least_fp32, without_autocast
from .tracing import is_traced


class TableCache:
    """Cache of the tables that are used without gradients, up to `max_bytes` per process.

    An entry keeps a copy of the weights that it was computed from, and is valid only while the
    module's weights equal them. Optimizers, `load_state_dict` and moving averages change weights
    in place, and version counters miss some of them (`.data.copy_`). Comparing takes microseconds
    on a CPU; on an accelerator it would wait for the device, so nothing is cached there.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.num_bytes = 0
        self._entries: OrderedDict[tuple, tuple[list[Tensor], Tensor]] = OrderedDict()
        self._lock = threading.Lock()

    def table(self, module: LogCPB, window_size: tuple[int, ...]) -> Tensor:
        """The table of `module`, cached or evaluated; the caller must not change it."""
        key = (id(module), window_size, module.pretrained_window_size)
        weights = [p.detach() for p in module.weights()]
        with self._lock:
            if key in self._entries:
                kept, table = self._entries[key]
                if all(map(_equal, kept, weights)):
                    self._entries.move_to_end(key)
                    return table
        table = module.evaluate(window_size)
        with self._lock:
            self._drop(key)
            self._entries[key] = [w.clone() for w in weights], table
            self.num_bytes += self._size(key)
            while self.num_bytes > self.max_bytes:
                self._drop(next(iter(self._entries)))
        return table

    def _size(self, key: tuple) -> int:
        kept, table = self._entries[key]
        return sum(t.numel() * t.element_size() for t in (*kept, table))

    def _drop(self, key: tuple) -> None:
        if key in self._entries:
            self.num_bytes -= self._size(key)
            del self._entries[key]


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and torch.equal(a, b)


TABLES = TableCache(max_bytes=64 << 20)


class LogCPB(nn.Sequential):
    """Log-spaced continuous position bias: a two-layer MLP over offsets (section 3.3, eq. 4).

    Args:
        num_heads: Heads, each with its own bias.
        pretrained_window_size: Window in tokens, one per axis, that the weights were trained with.
            Offsets are divided by it (less one), so they keep their meaning at any window.
        hidden_dims: Hidden channels of the MLP.
    """

    def __init__(
        self, num_heads: int, pretrained_window_size: tuple[int, ...], hidden_dims: int = 512
    ) -> None:
        super().__init__(
            nn.Linear(len(pretrained_window_size), hidden_dims),
            nn.ReLU(inplace=True),
            nn.Linear(hidden_dims, num_heads, bias=False),
        )
        self.pretrained_window_size = pretrained_window_size

    def forward(self, window_size: Sequence[int]) -> Tensor:
        """Bias (nH, 2w-1, ...) of every offset within a window, in (0, 16), at least fp32.

        The hidden layer, (2w-1)^n x `hidden_dims`, is recomputed in the backward pass.
        """
        window_size = tuple(window_size)
        weight, *_ = self.weights()
        if is_traced() or weight.is_meta:
            return self.evaluate(window_size)
        if torch.is_grad_enabled():
            return checkpoint(
                self.evaluate, window_size, use_reentrant=False, preserve_rng_state=False
            )
        if weight.device.type == 'cpu':
            return TABLES.table(self, window_size)
        return self.evaluate(window_size)

    def evaluate(self, window_size: tuple[int, ...]) -> Tensor:
        """Like `forward`, without caching or recomputing anything."""
        weight, bias, out = map(at_least_fp32, self.weights())
        axes = [
            log_coords(size, pretrained, weight)
            for size, pretrained in zip(window_size, self.pretrained_window_size)
        ]
        coords = torch.stack(torch.meshgrid(*axes, indexing='ij'), dim=-1)
        with without_autocast(weight):
            hidden = F.relu(F.linear(coords, weight, bias), inplace=True)
            bias = 16 * F.linear(hidden, out).sigmoid()
            return bias.permute(len(window_size), *range(len(window_size)))

    def weights(self) -> tuple[Tensor, Tensor, Tensor]:
        """Weight and bias of the first layer, and weight of the second.

        By name: under FSDP, parametrization or DataParallel they are not in `parameters()`.
        """
        first, last = cast(nn.Linear, self[0]), cast(nn.Linear, self[2])
        return first.weight, first.bias, last.weight


def log_coords(window: int, pretrained_window: int, like: Tensor) -> Tensor:
    """(2w-1,) log-spaced offsets. The scale 8 and the base 8 are the official code's."""
    offsets = torch.arange(1 - window, window, dtype=like.dtype, device=like.device)
    offsets = offsets * 8 / max(pretrained_window - 1, 1)
    return offsets.sign() * torch.log2(offsets.abs() + 1) / 3
