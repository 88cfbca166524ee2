"""Parameters, multiply-accumulates and memory of a backbone, per stage.

Operations are counted from the layout of windows at an input size, as they are computed: with
padding, and with the rectangles of shifted windows. Elementwise operations are not counted.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..models import SwinBackbone
from ..models.window_attention import WindowAttention
from ..models.windows import axis_layouts


@dataclass
class LayerCosts:
    """Costs of the patch embedding, a stage or a merging: parameters, and MACs per image."""

    name: str
    params: int = 0
    matmul: int = 0  # MACs of products with weights
    attention: int = 0  # MACs of q k^T and of the product with v
    sizes: tuple[int, ...] = field(default=())

    @property
    def macs(self) -> int:
        return self.matmul + self.attention


def count(model: SwinBackbone, sizes: Sequence[int]) -> list[LayerCosts]:
    """Costs in order: patch embedding, then every stage and the merging after it."""
    embed = model.patch_embed
    grid = tuple(math.ceil(s / p) for s, p in zip(sizes, embed.patch_size))
    macs = math.prod(grid) * embed.proj.weight.numel()
    parts = [LayerCosts('patch embedding', _params(embed), macs)]
    for i, stage in enumerate(model.layers):
        part = LayerCosts(f'stage {i + 1}', _params(stage.blocks), sizes=grid)
        if i in model.out_indices:
            part.params += _params(getattr(model, f'norm{i}'))
        for block in stage.blocks:
            matmul, attention = attention_macs(block.attn, grid)
            mlp = block.mlp.fc1.weight.numel() + block.mlp.fc2.weight.numel()
            part.matmul += matmul + math.prod(grid) * mlp
            part.attention += attention
        parts.append(part)
        if stage.downsample is not None:
            grid = (*grid[:-2], *(math.ceil(side / 2) for side in grid[-2:]))
            weight = stage.downsample.reduction.weight
            macs = math.prod(grid) * weight.numel()
            parts.append(LayerCosts(f'patch merging {i + 1}', _params(stage.downsample), macs))
    return parts


def attention_macs(attn: WindowAttention, sizes: Sequence[int]) -> tuple[int, int]:
    """MACs of the projections and the position bias, and of attention itself, for one map."""
    layouts = axis_layouts(sizes, attn.window_size, attn.shifted)
    padded = math.prod(size + layout.pad for size, layout in zip(sizes, layouts))
    matmul = padded * attn.qkv.weight.numel() + math.prod(sizes) * attn.proj.weight.numel()
    matmul += attn.position_bias.macs([min(s, w) for s, w in zip(sizes, attn.window_size)])
    pairs = 0
    for runs in itertools.product(*(layout.runs for layout in layouts)):
        tokens = math.prod(run.window for run in runs)
        pairs += tokens**2 * math.prod(run.num_windows for run in runs)
    return matmul, 2 * pairs * attn.proj.weight.shape[0]


def _params(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


class LargestTensor(TorchDispatchMode):
    """Records the largest tensor that an operator returns, except views of parameters."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.num_bytes, self.shape = 0, ()
        self._params = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for t in tree_leaves(out):
            if not isinstance(t, Tensor) or t.untyped_storage().data_ptr() in self._params:
                continue
            num_bytes = min(t.numel() * t.element_size(), t.untyped_storage().nbytes())
            if num_bytes > self.num_bytes:
                self.num_bytes, self.shape = num_bytes, tuple(t.shape)
        return out


class Kept:
    """Bytes that autograd keeps for the backward pass, without parameters, between two `take`s.

    `largest` is the size of the largest of these tensors so far.
    """

    def __init__(self, model: nn.Module) -> None:
        self.known = {_identity(p.untyped_storage()) for p in model.parameters()}
        self.num_bytes = self.largest = 0
        self.alive: list[Tensor] = []  # so that no address is reused
        self.hooks = torch.autograd.graph.saved_tensors_hooks(self.pack, lambda t: t)

    def pack(self, t: Tensor) -> Tensor:
        storage = t.untyped_storage()
        if _identity(storage) not in self.known:
            self.known.add(_identity(storage))
            self.num_bytes += storage.nbytes()
            self.largest = max(self.largest, storage.nbytes())
            self.alive.append(t)
        return t

    def take(self) -> int:
        """Bytes since the last call."""
        found, self.num_bytes = self.num_bytes, 0
        return found


def _identity(storage: torch.UntypedStorage) -> int:
    """The address of a storage; on the meta device, that of the object.

    Storages of fake tensors are on the meta device, and torch warns if their address is read.
    """
    return storage._cdata if storage.device.type == 'meta' else storage.data_ptr() or storage._cdata


def kept_per_stage(model: SwinBackbone, image: Tensor) -> list[int]:
    """Bytes that a training step keeps for its backward pass: per stage, then everything else."""
    found = [0] * len(model.layers)
    model.train()
    kept, handles = Kept(model), []
    other = 0

    def before(*_: Any) -> None:
        nonlocal other
        other += kept.take()

    for i, stage in enumerate(model.layers):

        def after(*_: Any, i: int = i) -> None:
            found[i] += kept.take()

        handles += [stage.register_forward_pre_hook(before), stage.register_forward_hook(after)]
    try:
        with kept.hooks:
            outs = model(image)
        del outs
    finally:
        for handle in handles:
            handle.remove()
    return [*found, other + kept.take()]


def matmul_peak(device: str, dtype: torch.dtype) -> float:
    """MACs per second of a product of two large square matrices on the device."""
    size = 2048 if device == 'cpu' else 8192
    a = torch.randn(size, size, device=device, dtype=dtype)
    return size**3 / min(seconds(lambda: a @ a, device) for _ in range(5))


def seconds(fn: Any, device: str) -> float:
    """Duration of one call."""
    if device == 'cuda':
        torch.cuda.synchronize()
    start = time.perf_counter()
    fn()
    if device == 'cuda':
        torch.cuda.synchronize()
    return time.perf_counter() - start
