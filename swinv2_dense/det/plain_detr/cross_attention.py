"""Attention of queries to all cells of a map."""

from __future__ import annotations

from torch import Tensor, nn

from ...models.fused_attention import fused_attention
from ...models.precision import at_least_fp32, without_autocast


class GlobalCrossAttention(nn.Module):
    """Multi-head attention of queries to a whole map, with an additive bias.

    Args:
        embed_dims: Channels of queries and keys.
        num_heads: Divides `embed_dims`.
    """

    def __init__(self, embed_dims: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q = nn.Linear(embed_dims, embed_dims)
        self.k = nn.Linear(embed_dims, embed_dims)
        self.v = nn.Linear(embed_dims, embed_dims)
        self.proj = nn.Linear(embed_dims, embed_dims)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        """Logits and softmax are fp32: BoxRPB has biases of some hundreds, which bf16 would round.

        Args:
            query: (B, Q, C).
            key: (B, N, C).
            value: (B, N, C).
            bias: Broadcasts to (B, nH, Q, N); -inf where a key is padding.

        Returns:
            (B, Q, C).
        """
        q, k, v = (
            self._heads(layer(x)) for layer, x in ((self.q, query), (self.k, key), (self.v, value))
        )
        with without_autocast(q):
            mixed = fused_attention(*map(at_least_fp32, (q, k, v)), attn_mask=at_least_fp32(bias))
        return self.proj(mixed.to(v.dtype).transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
