"""A probe that attends to the tokens of a frozen video backbone."""

from __future__ import annotations

from typing import Any

import torch
from mmaction.models.heads import BaseHead
from mmaction.registry import MODELS
from mmengine.model import trunc_normal_init
from torch import Tensor, nn

from ..models.fused_attention import choose_kernel


@MODELS.register_module()
class AttentiveProbeHead(BaseHead):
    """One learned query attends to all tokens of the last map; then an MLP and a linear layer.

    The attentive probe of V-JEPA (arXiv 2404.08471, section 4). Unlike the mean over the tokens, it
    can choose when and where to look:

        q1 = q + attention(q, norm(tokens));  q2 = q1 + mlp(norm(q1));  scores = linear(q2)

    Args:
        num_classes: Classes, N.
        in_channels: Channels C of the map.
        num_heads: Heads of the attention; divides C.
        mlp_ratio: Width of the MLP's hidden layer relative to C.
        kwargs: Of mmaction2's `BaseHead`.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        num_heads: int = 12,
        mlp_ratio: float = 4.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_classes, in_channels, **kwargs)
        hidden = int(mlp_ratio * in_channels)
        self.query = nn.Parameter(torch.zeros(1, 1, in_channels))
        self.norm1 = nn.LayerNorm(in_channels)
        self.attention = nn.MultiheadAttention(in_channels, num_heads, batch_first=True)
        self.norm2 = nn.LayerNorm(in_channels)
        self.mlp = nn.Sequential(
            nn.Linear(in_channels, hidden), nn.GELU(), nn.Linear(hidden, in_channels)
        )
        self.fc_cls = nn.Linear(in_channels, num_classes)

    def init_weights(self) -> None:
        """Truncated normal weights of deviation 0.02, also of the query; zero biases."""
        nn.init.trunc_normal_(self.query, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                trunc_normal_init(module, std=0.02)
        nn.init.trunc_normal_(self.attention.in_proj_weight, std=0.02)

    def forward(self, x: Tensor, **kwargs: Any) -> Tensor:
        """A map (B, C, T, H, W) -> scores (B, N)."""
        tokens = self.norm1(x.flatten(2).transpose(1, 2))
        query = self.query.repeat(len(x), 1, 1)
        with choose_kernel(tokens):
            found, _ = self.attention(query, tokens, tokens, need_weights=False)
        query = query + found
        query = query + self.mlp(self.norm2(query))
        return self.fc_cls(query[:, 0])
