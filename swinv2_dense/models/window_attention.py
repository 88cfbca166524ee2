"""Window attention of Swin Transformer V2 (arXiv 2111.09883) for maps with any number of axes.

Legend: B batch, S... spatial axes, C channels, N tokens per window, nW windows of a batch,
nH heads. Maps are channels-last, (B, S..., C). Windows and shifts count tokens.

A shifted map is not masked. A window cut by the wrap-around consists of rectangles whose tokens
attend only within themselves, so the rolled map is split along each axis into runs of whole
windows and runs of cut ones, and every combination of runs is an ordinary unshifted attention.
That is exact, where the official code adds -100 to the logits of cut pairs: scaled cosine logits
span (-100, 116), so -100 is not minus infinity for them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MAX_LOGIT_SCALE = math.log(1.0 / 0.01)


class Run(NamedTuple):
    """`count` windows of `window` tokens side by side along one axis, from token `start` on."""

    start: int
    window: int
    count: int


class AxisLayout(NamedTuple):
    """How one axis of a map is padded (at its end), rolled (by -shift) and cut into runs."""

    pad: int
    shift: int
    runs: tuple[Run, ...]


def axis_layout(size: int, window: int, shifted: bool) -> AxisLayout:
    """Lay windows over an axis of `size` tokens.

    An axis that fits into one window is that window: it is neither padded nor shifted, which is
    how the published weights were trained in stage 4.
    """
    if size <= window:
        return AxisLayout(0, 0, (Run(0, size, 1),))
    count = (size + window - 1) // window
    pad = count * window - size
    shift = window // 2 if shifted else 0
    if shift == 0:
        return AxisLayout(pad, 0, (Run(0, window, count),))
    edge = (count - 1) * window  # the rolled map's last window: the map's end, then its beginning
    end, begin = Run(edge, window - shift, 1), Run(edge + window - shift, shift, 1)
    cut = (Run(edge, shift, 2),) if end.window == begin.window else (end, begin)
    return AxisLayout(pad, shift, (Run(0, window, count - 1), *cut))


def window_partition(x: Tensor, window_size: Sequence[int]) -> Tensor:
    """(B, S..., C) -> (nW, N, C); every axis of S... is a multiple of its window."""
    batch, *sizes, channels = x.shape
    split = [n for s, w in zip(sizes, window_size) for n in (s // w, w)]
    rank = len(sizes)
    order = [0, *range(1, 2 * rank, 2), *range(2, 2 * rank + 1, 2), 2 * rank + 1]
    num_windows = batch * math.prod(split[::2])
    x = x.reshape(batch, *split, channels).permute(order)
    return x.reshape(num_windows, math.prod(window_size), channels)


def window_reverse(windows: Tensor, window_size: Sequence[int], sizes: Sequence[int]) -> Tensor:
    """(nW, N, C) -> (B, S..., C). Inverse of `window_partition`."""
    counts = [s // w for s, w in zip(sizes, window_size)]
    batch, channels, rank = windows.shape[0] // math.prod(counts), windows.shape[-1], len(sizes)
    order = [0, *(a for i in range(rank) for a in (1 + i, 1 + rank + i)), 2 * rank + 1]
    x = windows.reshape(batch, *counts, *window_size, channels).permute(order)
    return x.reshape(batch, *sizes, channels)


def map_runs(
    fn: Callable[[Tensor, tuple[int, ...]], Tensor],
    x: Tensor,
    axes: Sequence[Sequence[Run]],
    window_size: tuple[int, ...] = (),
) -> Tensor:
    """Apply `fn(part, window_size)` to every combination of runs of a map and put it together."""
    axis = len(window_size)
    if axis == len(axes):
        return fn(x, window_size)
    parts = []
    for run in axes[axis]:
        part = x.narrow(1 + axis, run.start, run.window * run.count)
        parts.append(map_runs(fn, part, axes, (*window_size, run.window)))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1 + axis)


def at_least_fp32(x: Tensor) -> Tensor:
    """bf16 and fp16 become fp32; fp32 and fp64 stay as they are."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def without_autocast(x: Tensor) -> AbstractContextManager:
    """Context in which operations on tensors like `x` keep their dtype."""
    if x.is_meta:  # where shapes alone are computed; autocast does not know this device
        return nullcontext()
    return torch.autocast(x.device.type, enabled=False)


def unit_vectors(x: Tensor) -> Tensor:
    """Normalise the last axis in at least fp32; zero vectors (keys of padded tokens) stay zero.

    `F.normalize` divides a zero vector by 1e-12, which turns its gradient into inf in fp16.
    """
    x = at_least_fp32(x)
    norm = x.norm(dim=-1, keepdim=True)
    return x / norm.where(norm > 1e-12, torch.ones_like(norm))


def gather_bias(table: Tensor, window_size: Sequence[int]) -> Tensor:
    """Bias of every token pair of a window from the bias of every offset.

    (nH, O...) -> (nH, N, N), where axis i of the table holds the offsets -(w-1)..(w-1) of a
    window w at least as large as `window_size[i]`. Element (q, k) is the bias of offset q - k.
    """
    for axis, size in enumerate(window_size, start=1):
        largest = (table.shape[axis] + 1) // 2
        table = table.narrow(axis, largest - size, 2 * size - 1)
        table = table.unfold(axis, size, 1)  # [.., q, .., j]: offset q - (size - 1 - j)
    bias = table.flip(list(range(-len(window_size), 0)))
    tokens = math.prod(window_size)
    return bias.reshape(table.shape[0], tokens, tokens)


def attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """softmax(q k^T + bias) v: three (nW, nH, N, D) and (nH, N, N) -> (nW, nH, N, D).

    Logits and softmax are computed in the dtype of q, k and bias; the result has that of v.
    """
    probs = (q @ k.transpose(-2, -1) + bias).softmax(dim=-1)
    return probs.to(v.dtype) @ v


class LogCPB(nn.Sequential):
    """Log-spaced continuous position bias: a two-layer MLP over offsets (section 3.3, eq. 4).

    Args:
        num_heads: Heads, each with a bias of its own.
        pretrained_window_size: Window in tokens per axis that the weights were trained with;
            offsets are divided by it (less one) and so keep their meaning at any window.
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
        """Bias (nH, 2w-1, ...) of every offset within a window, in (0, 16), at least fp32."""
        weight, bias, out = (at_least_fp32(p) for p in self.parameters())
        axes = [
            self._log_coords(size, divisor, weight)
            for size, divisor in zip(window_size, self.pretrained_window_size)
        ]
        coords = torch.stack(torch.meshgrid(*axes, indexing='ij'), dim=-1)
        with without_autocast(weight):
            hidden = F.relu(F.linear(coords, weight, bias), inplace=True)
            return 16 * F.linear(hidden, out).sigmoid().movedim(-1, 0)

    @staticmethod
    def _log_coords(window: int, pretrained_window: int, like: Tensor) -> Tensor:
        """(2w-1,) log-spaced offsets. The scale 8 and base 8 are the official code's."""
        offsets = torch.arange(1 - window, window, dtype=like.dtype, device=like.device)
        offsets = offsets * 8 / max(pretrained_window - 1, 1)
        return offsets.sign() * torch.log2(offsets.abs() + 1) / 3


class WindowAttention(nn.Module):
    """Scaled cosine attention within (shifted) windows (eq. 2), for any number of axes.

    Args:
        embed_dims: Input and output channels.
        num_heads: Heads; divides `embed_dims`.
        window_size: Largest window in tokens, one per axis of the map.
        pretrained_window_size: Window in tokens per axis the position bias is scaled by.
        shifted: Shift the windows by half their size (SW-MSA).
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        window_size: tuple[int, ...],
        pretrained_window_size: tuple[int, ...],
        shifted: bool = False,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.window_size = window_size
        self.shifted = shifted
        self.logit_scale = nn.Parameter(torch.full((num_heads, 1, 1), math.log(10.0)))
        self.cpb_mlp = LogCPB(num_heads, pretrained_window_size)
        self.qkv = nn.Linear(embed_dims, 3 * embed_dims, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(embed_dims))
        self.v_bias = nn.Parameter(torch.zeros(embed_dims))
        self.proj = nn.Linear(embed_dims, embed_dims)

    def forward(self, x: Tensor) -> Tensor:
        """(B, S..., C) -> (B, S..., C), S... of any size."""
        sizes = x.shape[1:-1]
        layouts = [axis_layout(s, w, self.shifted) for s, w in zip(sizes, self.window_size)]
        axes = list(range(1, x.dim() - 1))
        shifts = [layout.shift for layout in layouts]
        # Pad before rolling, so that the zeros lie at the end of the map and not in the middle.
        if any(layout.pad for layout in layouts):
            x = F.pad(x, [0, 0, *(p for a in reversed(layouts) for p in (0, a.pad))])
        if any(shifts):
            x = x.roll([-s for s in shifts], axes)
        # A padded token is a key like any other: its cosine is 0, its value the bias of v.
        qkv = F.linear(x, self.qkv.weight, self._qkv_bias())
        table = self.cpb_mlp([max(r.window for r in layout.runs) for layout in layouts])
        x = map_runs(
            lambda part, window: self._attend(part, window, table),
            qkv,
            [layout.runs for layout in layouts],
        )
        if any(shifts):
            x = x.roll(shifts, axes)
        for axis, size in zip(axes, sizes):
            x = x.narrow(axis, 0, size)
        return self.proj(x)

    def _qkv_bias(self) -> Tensor:
        return torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])

    def _attend(self, qkv: Tensor, window_size: tuple[int, ...], table: Tensor) -> Tensor:
        """(B, S..., 3C) -> (B, S..., C) in unshifted windows; `table` from the position bias."""
        sizes = qkv.shape[1:-1]
        qkv = window_partition(qkv, window_size)
        qkv = qkv.unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        with without_autocast(q):
            scale = at_least_fp32(self.logit_scale).clamp(max=MAX_LOGIT_SCALE).exp()
            bias = gather_bias(table, window_size)
            x = attention(unit_vectors(q) * scale, unit_vectors(k), v, bias)
        return window_reverse(x.transpose(1, 2).flatten(2), window_size, sizes)

    def extra_repr(self) -> str:
        return (
            f'num_heads={self.num_heads}, window_size={self.window_size}, '
            f'pretrained_window_size={self.cpb_mlp.pretrained_window_size}, shifted={self.shifted}'
        )
