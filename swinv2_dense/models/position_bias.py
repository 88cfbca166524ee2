"""Position bias of window attention: a module that maps a window to a bias per offset and head.

All that attention sees of it is a table, (nH, 2w-1, ...), with one entry per offset. The three
kinds are the rows of Table 1: `LogCPB` (V2), `LinearCPB`, and V1's `BiasTable` (bias_table.py).
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import ClassVar, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .precision import at_least_fp32, without_autocast
from .tracing import is_traced


class PositionBias(Protocol):
    """What attention needs of a position bias, which is an `nn.Module`."""

    key: ClassVar[str]  # name of the module in attention; it tells the kinds apart in checkpoints
    pretrained_window_size: tuple[int, ...]

    def __init__(self, num_heads: int, pretrained_window_size: tuple[int, ...]) -> None: ...

    def __call__(self, window_size: Sequence[int]) -> Tensor:
        """Bias (nH, 2w-1, ...) of every offset within a window, at least fp32."""

    def macs(self, window_size: Sequence[int]) -> int:
        """Multiply-accumulates of the table of a window."""


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

    def table(self, module: ContinuousBias, window_size: tuple[int, ...]) -> Tensor:
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


class ContinuousBias(nn.Sequential):
    """Continuous position bias: a two-layer MLP over coordinates of offsets (section 3.3, eq. 3).

    Subclasses define the coordinates.

    Args:
        num_heads: Heads, each with its own bias.
        pretrained_window_size: Window in tokens, one per axis, that the weights were trained with.
            Offsets are divided by it (less one), so they keep their meaning at any window.
        hidden_dims: Hidden channels of the MLP.
    """

    key: ClassVar[str]

    def __init__(
        self, num_heads: int, pretrained_window_size: tuple[int, ...], hidden_dims: int = 512
    ) -> None:
        super().__init__(
            nn.Linear(len(pretrained_window_size), hidden_dims),
            nn.ReLU(inplace=True),
            nn.Linear(hidden_dims, num_heads, bias=False),
        )
        self.pretrained_window_size = pretrained_window_size

    def coords(self, window: int, pretrained_window: int, like: Tensor) -> Tensor:
        """Coordinates (2w-1,) of the offsets within a window along one axis."""
        raise NotImplementedError

    def macs(self, window_size: Sequence[int]) -> int:
        """See `PositionBias`."""
        first, _, last = self.weights()
        return math.prod(2 * w - 1 for w in window_size) * (first.numel() + last.numel())

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
            self.coords(size, pretrained, weight)
            for size, pretrained in zip(window_size, self.pretrained_window_size)
        ]
        coords = torch.stack(torch.meshgrid(*axes, indexing='ij'), dim=-1)
        with without_autocast(weight):
            hidden = F.linear(coords.flatten(0, -2), weight, bias)
            bias = 16 * F.linear(F.relu(hidden, inplace=True), out).sigmoid()
            return bias.t().unflatten(1, coords.shape[:-1])

    def weights(self) -> tuple[Tensor, Tensor, Tensor]:
        """Weight and bias of the first layer, and weight of the second.

        By name: under FSDP, parametrization or DataParallel they are not in `parameters()`.
        """
        first, last = cast(nn.Linear, self[0]), cast(nn.Linear, self[2])
        return first.weight, first.bias, last.weight


class LogCPB(ContinuousBias):
    """Log-spaced continuous position bias (eq. 4), that of V2."""

    key = 'cpb_mlp'

    def coords(self, window: int, pretrained_window: int, like: Tensor) -> Tensor:
        """See `log_coords`."""
        return log_coords(window, pretrained_window, like)


class LinearCPB(ContinuousBias):
    """Linear-spaced continuous position bias, the second row of Table 1.

    The paper states no scale of its coordinates. Here they reach 1 at the pretrained window, where
    those of `LogCPB` reach 1.06. MLP, sigmoid and range are those of `LogCPB`.
    """

    key = 'linear_cpb_mlp'

    def coords(self, window: int, pretrained_window: int, like: Tensor) -> Tensor:
        """Offsets divided by the largest one within the pretrained window."""
        offsets = torch.arange(1 - window, window, dtype=like.dtype, device=like.device)
        return offsets / max(pretrained_window - 1, 1)


def log_coords(window: int, pretrained_window: int, like: Tensor) -> Tensor:
    """(2w-1,) log-spaced offsets. The scale 8 and the base 8 are the official code's."""
    offsets = torch.arange(1 - window, window, dtype=like.dtype, device=like.device)
    offsets = offsets * 8 / max(pretrained_window - 1, 1)
    return offsets.sign() * torch.log2(offsets.abs() + 1) / 3
