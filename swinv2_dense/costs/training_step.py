"""What a training needs per GPU: memory, communication and time, counted from the model.

Memory is that of tensors: parameters, gradients, the optimizer's moments, what a step keeps for its
backward pass, what a recomputed block keeps on top. Schemes are those of configs/_base_/schedules:
torch's DDP, ZeroRedundancyOptimizer (ZeRO-1) and FSDP with a SwinV2 block as unit. Sizes are bytes.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ..models import SwinTransformerV2
from ..models.blocks import SwinBlock
from . import counts
from .detectors import FAKE, DetectorPart

FP32 = 4  # bytes of a parameter, a gradient, and each moment of an optimizer; also under autocast
SCHEMES = ('DDP', 'ZeRO-1', 'FSDP')
# Multiplications of a training step per one of a forward pass: twice as many backwards; in
# attention the logits again, so five products for two.
MATMUL, ATTENTION = 3.0, 3.5


@dataclass
class Costs:
    """Counts of one training step on one GPU."""

    parameters: list[int]  # numbers in each parameter
    trainable: list[int]  # in each parameter that learns
    blocks: list[int]  # in each block, a unit of FSDP
    kept: int  # bytes for the backward pass
    working: int  # bytes in passing, at most
    macs: int  # forwards and backwards
    moments: int = 2  # numbers that the optimizer keeps for each parameter; AdamW's
    averages: int = 0  # moving averages of all parameters (EMA)

    @property
    def rest(self) -> int:
        """Parameters outside blocks."""
        return sum(self.parameters) - sum(self.blocks)


def costs_of(
    model: nn.Module,
    parts: Callable[..., list[DetectorPart]],
    size: Sequence[int],
    images: int,
    bf16: bool,
) -> Costs:
    """Costs of a training step with `images` images or clips.

    Args:
        model: On the meta device; its parameters become fake tensors.
        parts: One of `detector_parts`, `segmentor_parts`, `recognizer_parts`.
        size: (H, W) in pixels, or (T, H, W), of training.
        images: Per GPU. A head needs the gradients of its largest tensor and of what it comes from
            in passing.
        bf16: With autocast, as `Bf16OptimWrapper`; parameters stay fp32.
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


def backbone_macs(backbone: SwinTransformerV2, size: Sequence[int]) -> int:
    """MACs of a training step for one image, with what checkpointing computes again."""
    checkpointed = _checkpointed(backbone)
    total = 0.0
    for part in counts.count(backbone, size):
        total += MATMUL * part.matmul + ATTENTION * part.attention
        if part.name.startswith('stage') and checkpointed[int(part.name.split()[1]) - 1]:
            total += part.macs
    return round(total)


def _checkpointed(backbone: SwinTransformerV2) -> list[bool]:
    given = backbone.with_cp
    return list(given) if isinstance(given, (list, tuple)) else [given] * backbone.num_stages


def backbone_memory(
    backbone: SwinTransformerV2, size: Sequence[int], images: int
) -> tuple[int, int]:
    """Bytes that a forward pass keeps, and the most that a block needs in passing backwards.

    A checkpointed block keeps its input alone, and all else while it is computed again. Every block
    holds gradients in passing: of the map, and of the two branches.
    """
    backbone.train()
    kept, working = counts.Kept(backbone), 0
    with FAKE:
        x = torch.empty(images, 3, *size)
    with torch.enable_grad(), kept.hooks:
        x = backbone.patch_embed(x)
    for i, (stage, recomputed) in enumerate(zip(backbone.layers, _checkpointed(backbone))):
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
    """Bytes per GPU by what they are for; of sharded parts, on the GPU that has most."""
    total, learned = sum(costs.parameters), sum(costs.trainable)
    shards = gpus if scheme == 'FSDP' else 1
    rows = {
        'parameters': FP32 * math.ceil(total / shards),
        'gradients': FP32 * math.ceil(learned / shards),
        'optimizer': costs.moments * FP32 * math.ceil(learned / shards),
        'averaged weights': costs.averages * FP32 * total,
        'buckets of gradients': 0 if shards > 1 or gpus == 1 else FP32 * learned,
        'gathered parameters': 0,
        'activations': costs.kept,
        'in passing': costs.working,
    }
    if scheme == 'ZeRO-1':
        rows['optimizer'] = costs.moments * FP32 * largest_share(costs.trainable, gpus)
    if shards > 1:  # what is outside blocks, for the whole step; a block, its gradient, the next
        rows['gathered parameters'] = FP32 * (2 * costs.rest + 3 * max(costs.blocks))
    return rows


def largest_share(sizes: Sequence[int], gpus: int) -> int:
    """Numbers on the fullest of GPUs that take whole parameters, the largest first, each by the one
    that has least: as torch's ZeroRedundancyOptimizer.
    """
    shares = [0] * gpus
    for size in sorted(sizes, reverse=True):
        shares[shares.index(min(shares))] += size
    return max(shares)


def communication(costs: Costs, scheme: str, gpus: int) -> int:
    """Bytes that a GPU sends in a step, by ring algorithms.

    DDP sums gradients; ZeRO-1 also sends the new parameters; FSDP gathers parameters forwards and
    backwards and scatters the sums of gradients.
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
    """Seconds of computing and of communicating in a step; the latter runs beside the former.

    Args:
        tflops: Of a GPU, in the dtype of the products, by its data sheet; a MAC is two operations.
        utilization: The share of it that is reached.
        bandwidth: Bytes per second that a GPU sends.
    """
    computing = 2 * costs.macs / (tflops * 1e12 * utilization)
    return computing, communication(costs, scheme, gpus) / bandwidth
