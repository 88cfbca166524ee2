"""How queries are compared with keys: dot products (V1), or cosines with a learned scale (V2).

Attention multiplies `vectors(q) * scale` with `vectors(k)`. Both kinds are stateless; their
parameters and scales belong to the classes of window_attention.py.
"""

from __future__ import annotations

from torch import Tensor

from .precision import at_least_fp32, safe_norm, safe_normalize


class DotProduct:
    """Queries and keys are multiplied as they are, with a constant scale."""

    @staticmethod
    def vectors(x: Tensor) -> Tensor:
        """What is multiplied instead of queries or keys (..., D), in at least fp32."""
        return at_least_fp32(x)

    @staticmethod
    def vectors_and_norms(x: Tensor) -> tuple[Tensor, Tensor]:
        """`vectors` of fp32 or fp64, and what `to_inputs` needs."""
        return x, x.new_ones(())

    @staticmethod
    def to_inputs(grad: Tensor, vectors: Tensor, norms: Tensor) -> None:
        """Turn the gradient of `vectors` into that of their input, in place."""

    @staticmethod
    def scale_grad(grad: Tensor, vectors: Tensor, num_heads: int) -> Tensor | float:
        """Gradient of the scale, (nH,), from that of the scaled queries (nW * nH, N, D)."""
        return 0.0


class Cosine(DotProduct):
    """Queries and keys are normalized, q' = q / |q|, and the scale has a gradient."""

    @staticmethod
    def vectors(x: Tensor) -> Tensor:
        """See `DotProduct`; zero vectors stay zero."""
        return safe_normalize(x)

    @staticmethod
    def vectors_and_norms(x: Tensor) -> tuple[Tensor, Tensor]:
        """See `DotProduct`."""
        norms = safe_norm(x)
        return x / norms, norms

    @staticmethod
    def to_inputs(grad: Tensor, vectors: Tensor, norms: Tensor) -> None:
        """dq = (dq' - q' <q', dq'>) / |q|: only what is orthogonal to q' counts."""
        grad -= vectors * (grad * vectors).sum(-1, keepdim=True)
        grad /= norms

    @staticmethod
    def scale_grad(grad: Tensor, vectors: Tensor, num_heads: int) -> Tensor | float:
        """See `DotProduct`."""
        return (grad * vectors).unflatten(0, (-1, num_heads)).sum((0, 2, 3))


# By name, because custom operators take strings and no objects.
SIMILARITIES: dict[str, type[DotProduct]] = {'cosine': Cosine, 'dot': DotProduct}
