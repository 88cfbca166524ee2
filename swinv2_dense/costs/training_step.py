"""What training needs per GPU: memory, communication and time, counted from the model.

Memory is that of tensors: parameters, gradients, the optimizer's moments, what a step keeps for its
backward pass, what a recomputed block keeps on top. Schemes are those of configs/_base_/schedules:
torch's DDP, ZeroRedundancyOptimizer (ZeRO-1) and FSDP with SwinV2 blocks as units. Sizes are bytes.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ..models import SwinBackbone
from ..models.blocks import SwinBlock
from . import counts
from .detectors import FAKE, ModuleCosts

FP32 = 4  # bytes of a parameter, a gradient, and each moment of an optimizer; also under autocast
SCHEMES = ('DDP', 'ZeRO-1', 'FSDP')
# MACs of a training step relative to a forward pass. The backward pass has twice as many; in
# attention it recomputes the logits too, so it has five products where the forward pass has two.
MATMUL, ATTENTION = 3.0, 3.5


@dataclass
class Costs:
    """Costs of one training step on one GPU."""

    parameters: list[int]  # elements of each parameter
    trainable: list[int]  # elements of each trainable parameter
    blocks: list[int]  # elements of each block, which is an FSDP unit
    kept: int  # bytes kept for the backward pass
    working: int  # peak bytes of workspace
    macs: int  # forward and backward
    moments: int = 2  # optimizer states per element; AdamW has 2
    averages: int = 0  # moving averages of all parameters (EMA)

    @property
    def rest(self) -> int:
        """Elements outside blocks."""
        return sum(self.parameters) - sum(self.blocks)


def costs_of(
    model: nn.Module,
    parts: Callable[..., list[ModuleCosts]],
    size: Sequence[int],
    images: int,
    bf16: bool,
) -> Costs:
    """Costs of a training step with `images` images or clips.

    Args:
        model: On the meta device; its parameters become fake tensors.
        parts: One of `detector_parts`, `segmentor_parts`, `recognizer_parts`.
        size: (H, W) in pixels, or (T, H, W), of training.
        images: Per GPU. The workspace of a head is the gradients of its largest tensor and of that
            tensor's input.
        bf16: With autocast, like `Bf16OptimWrapper`; parameters stay fp32.
    """
    parameters = [p.numel() for p in model.parameters()]
    trainable = [p.numel() for p in model.parameters() if p.requires_grad]
    blocks = [_numel(m) for m in model.modules() if isinstance(m, SwinBlock)]
    macs = backbone_macs(model.backbone, size)
    with _autocast(bf16):
        found = parts(model, size, size)
        kept, working = backbone_memory(model.backbone, size, images)
    heads = [part for part in found if part.name != 'backbone']
    macs += sum(round(MATMUL * part.macs) for part in heads)
    kept += images * sum(part.kept for part in heads)
    working = max(working, 2 * images * max(part.largest for part in heads))
    return Costs(parameters, trainable, blocks, kept, working, images * macs)


def _autocast(bf16: bool) -> contextlib.AbstractContextManager:
    return torch.autocast('cpu', torch.bfloat16) if bf16 else contextlib.nullcontext()


def _numel(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def backbone_macs(backbone: SwinBackbone, size: Sequence[int]) -> int:
    """MACs of a training step for one image, including what checkpointing recomputes."""
    total = 0.0
    for part in counts.count(backbone, size):
        total += MATMUL * part.matmul + ATTENTION * part.attention
        if part.name.startswith('stage') and backbone.with_cp[int(part.name.split()[1]) - 1]:
            total += part.macs
    return round(total)


def backbone_memory(backbone: SwinBackbone, size: Sequence[int], images: int) -> tuple[int, int]:
    """Bytes that a forward pass keeps, and the peak workspace of a block in the backward pass.

    A checkpointed block keeps only its input; the rest is workspace while it is recomputed. The
    workspace of every block has three gradients: of the map, and of the two branches.
    """
    backbone.train()
    kept, working = counts.Kept(backbone), 0
    with FAKE:
        x = torch.empty(images, 3, *size)
    with torch.enable_grad(), kept.hooks:
        x = backbone.patch_embed(x)
    for i, (stage, recomputed) in enumerate(zip(backbone.layers, backbone.with_cp)):
        for block in stage.blocks:
            block_kept = counts.Kept(backbone) if recomputed else kept
            with torch.enable_grad(), block_kept.hooks:
                out = block(x)
            if recomputed:
                kept.pack(x)
            again = block_kept.take() if recomputed else 0
            working = max(working, again + 3 * x.numel() * x.element_size())
            x = out
        with torch.enable_grad(), kept.hooks:
            if i in backbone.out_indices:
                getattr(backbone, f'norm{i}')(x)
            if stage.downsample is not None:
                x = stage.downsample(x)
    return kept.take(), working


def memory(costs: Costs, scheme: str, gpus: int) -> dict[str, int]:
    """Bytes per GPU by purpose; for uneven shards, on the GPU with the largest."""
    total, learned = sum(costs.parameters), sum(costs.trainable)
    shards = gpus if scheme == 'FSDP' else 1
    rows = {
        'parameters': FP32 * math.ceil(total / shards),
        'gradients': FP32 * math.ceil(learned / shards),
        'optimizer': costs.moments * FP32 * math.ceil(learned / shards),
        'averaged weights': costs.averages * FP32 * total,
        'DDP gradient buckets': 0 if shards > 1 or gpus == 1 else FP32 * learned,
        'gathered parameters': 0,
        'activations': costs.kept,
        'workspace': costs.working,
    }
    if scheme == 'ZeRO-1':
        rows['optimizer'] = costs.moments * FP32 * largest_share(costs.trainable, gpus)
    if shards > 1:  # all outside blocks, for the whole step; a block, its gradient, the next block
        rows['gathered parameters'] = FP32 * (2 * costs.rest + 3 * max(costs.blocks))
    return rows


def largest_share(sizes: Sequence[int], gpus: int) -> int:
    """Elements on the fullest GPU under torch's ZeroRedundancyOptimizer.

    It assigns whole parameters, the largest first, each to the GPU that has the least.
    """
    shares = [0] * gpus
    for size in sorted(sizes, reverse=True):
        shares[shares.index(min(shares))] += size
    return max(shares)


def communication(costs: Costs, scheme: str, gpus: int) -> int:
    """Bytes that a GPU sends per step with ring algorithms.

    DDP all-reduces gradients; ZeRO-1 also broadcasts the new parameters; FSDP all-gathers
    parameters in both passes and reduce-scatters gradients.
    """
    share = (gpus - 1) / gpus
    total, learned = FP32 * sum(costs.parameters), FP32 * sum(costs.trainable)
    sent = {
        'DDP': 2 * share * learned,
        'ZeRO-1': 2 * share * learned + share * learned,
        'FSDP': 2 * share * total + share * learned,
    }
    return round(sent[scheme])


def step_seconds(
    costs: Costs, scheme: str, gpus: int, tflops: float, utilization: float, bandwidth: float
) -> tuple[float, float]:
    """Seconds of computation and of communication per step, which overlap.

    Args:
        tflops: Peak of a GPU in the dtype of the products, by its data sheet; a MAC is two FLOPs.
        utilization: The fraction of it that is reached.
        bandwidth: Bytes per second that a GPU sends.
    """
    computing = 2 * costs.macs / (tflops * 1e12 * utilization)
    return computing, communication(costs, scheme, gpus) / bandwidth
