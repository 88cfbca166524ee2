"""The decoder of Plain-DETR: pre-norm layers whose queries attend to one whole map."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ...models.fused_attention import choose_kernel
from ...models.precision import at_least_fp32, without_autocast
from .box_rpb import BoxRPB
from .cross_attention import GlobalCrossAttention


class PlainDETRDecoderLayer(nn.Module):
    """Self-attention, cross-attention and FFN, each behind its norm.

    Args:
        embed_dims: Channels.
        num_heads: Heads of both attentions.
        feedforward_channels: Hidden channels of the FFN.
        box_rpb: The position bias of cross-attention; None for none.
    """

    def __init__(
        self, embed_dims: int, num_heads: int, feedforward_channels: int, box_rpb: BoxRPB | None
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(embed_dims)
        self.self_attn = nn.MultiheadAttention(embed_dims, num_heads, batch_first=True)
        self.norm2 = nn.LayerNorm(embed_dims)
        self.cross_attn = GlobalCrossAttention(embed_dims, num_heads)
        self.box_rpb = box_rpb
        self.norm3 = nn.LayerNorm(embed_dims)
        self.ffn = nn.Sequential(
            nn.Linear(embed_dims, feedforward_channels),
            nn.ReLU(inplace=True),
            nn.Linear(feedforward_channels, embed_dims),
        )

    def forward(
        self,
        query: Tensor,
        query_pos: Tensor,
        boxes: Tensor,
        memory: Tensor,
        memory_pos: Tensor,
        padding: Tensor,
        self_attn_mask: Tensor | None,
    ) -> Tensor:
        """Refine queries.

        Args:
            query: (B, Q, C).
            query_pos: (B, Q, C).
            boxes: (B, Q, 4), (x1, y1, x2, y2) of the queries in pixels of the map.
            memory: Map (B, H, W, C).
            memory_pos: (B, H, W, C).
            padding: (B, H, W), True where the map is padding.
            self_attn_mask: (Q, Q), True where a query must not see another.

        Returns:
            (B, Q, C).
        """
        x = self.norm1(query)
        q = x + query_pos
        with choose_kernel(q):
            mixed = self.self_attn(q, q, x, attn_mask=self_attn_mask, need_weights=False)[0]
        query = query + mixed
        x = self.norm2(query) + query_pos
        bias = torch.zeros_like(padding, dtype=boxes.dtype).masked_fill(padding, float('-inf'))
        bias = bias.flatten(1)[:, None, None]
        if self.box_rpb is not None:
            bias = bias + self.box_rpb(boxes, *memory.shape[1:3])
        key, value = (memory + memory_pos).flatten(1, 2), memory.flatten(1, 2)
        query = query + self.cross_attn(x, key, value, bias)
        return query + self.ffn(self.norm3(query))


class PlainDETRDecoder(BaseModule):
    """Layers that refine queries and their boxes in turn, looking forward twice.

    Args:
        num_layers: Number of layers.
        embed_dims, num_heads, feedforward_channels: Of each layer.
        box_rpb: Use the box-to-pixel relative position bias; without it, cross-attention knows
            positions by the encodings of queries and cells alone.
        rpb_hidden_dims: Hidden channels of its MLPs.
        with_cp: Recompute the activations of each layer in the backward pass.
        map_stride: Pixels per cell of the map.
    """

    def __init__(
        self,
        num_layers: int = 6,
        embed_dims: int = 256,
        num_heads: int = 8,
        feedforward_channels: int = 2048,
        box_rpb: bool = True,
        rpb_hidden_dims: int = 512,
        with_cp: bool = False,
        map_stride: int = 16,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.num_layers, self.embed_dims, self.with_cp = num_layers, embed_dims, with_cp
        self.layers = nn.ModuleList(
            PlainDETRDecoderLayer(
                embed_dims,
                num_heads,
                feedforward_channels,
                BoxRPB(num_heads, map_stride, rpb_hidden_dims) if box_rpb else None,
            )
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(embed_dims)

    def forward(
        self,
        query: Tensor,
        references: Tensor,
        coordinates: Any,
        extents: Tensor,
        reg_branches: nn.ModuleList,
        **inputs: Tensor | None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Queries after each layer, and the boxes before each layer.

        Args:
            query: (B, Q, C).
            references: Boxes (B, Q, 4) of the proposals.
            coordinates: `NormalizedBoxes` or `PixelBoxes`.
            extents: (B, 2), see `coordinates.py`.
            reg_branches: Predict the deltas after each layer.
            inputs: See `PlainDETRDecoderLayer.forward`.

        Returns:
            Hidden states (num_layers, B, Q, C), and per layer the boxes (B, Q, 4) that its deltas
            refine. These keep the graph of the deltas of the layer before (look forward twice);
            what the next layer sees does not.
        """
        hidden, before = [], [references]
        for layer, branch in zip(self.layers, reg_branches):
            boxes = coordinates.to_map(references, extents)
            args = query, inputs['query_pos'], boxes, inputs['memory'], inputs['memory_pos']
            args = *args, inputs['padding'], inputs['self_attn_mask']
            if self.with_cp and torch.is_grad_enabled():
                query = checkpoint(layer, *args, use_reentrant=False)
            else:
                query = layer(*args)
            hidden.append(self.norm(query))
            with without_autocast(query):  # deltas in bf16 would round boxes
                deltas = branch(at_least_fp32(hidden[-1]))
            before.append(coordinates.refine(references, deltas, extents))
            references = before[-1].detach()
        return torch.stack(hidden), before[:-1]
