"""How queries are compared with keys: dot products (V1), or cosines with a learned scale (V2).

Attention multiplies `vectors(q) * scale` with `vectors(k)`. Parameters and scales belong to the
classes of window_attention.py.
"""

from __future__ import annotations

from torch import Tensor

from .precision import at_least_fp32, safe_norm, safe_normalize


class DotProduct:
    """Queries and keys are multiplied as they are, with a constant scale.

    Args:
        eps: Added to the norms that vectors are divided by; here there are none.
    """

    def __init__(self, eps: float = 0.0) -> None:
        self.eps = eps

    def vectors(self, x: Tensor) -> Tensor:
        """What is multiplied instead of queries or keys (..., D), in at least fp32."""
        return at_least_fp32(x)

    def vectors_and_norms(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`vectors` of fp32 or fp64, and what `to_inputs` needs."""
        return x, x.new_ones(())

    def to_inputs(self, grad: Tensor, vectors: Tensor, norms: Tensor) -> None:
        """Turn the gradient of `vectors` into that of their input, in place."""

    def scale_grad(self, grad: Tensor, vectors: Tensor) -> Tensor | float:
        """Gradient of the scale, (nH,), from that of the scaled queries (nW, nH, N, D)."""
        return 0.0


class Cosine(DotProduct):
    """Queries and keys are normalized, q' = q / (|q| + eps), and the scale has a gradient."""

    def vectors(self, x: Tensor) -> Tensor:
        """See `DotProduct`; zero vectors stay zero."""
        return safe_normalize(x, self.eps)

    def vectors_and_norms(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `DotProduct`."""
        norms = safe_norm(x, self.eps)
        return x / norms, norms

    def to_inputs(self, grad: Tensor, vectors: Tensor, norms: Tensor) -> None:
        """dq = (dq' - q' <q', dq'>) / |q|: only what is orthogonal to q' counts.

        With eps, |q| + eps takes the place of |q|, and q' <q', dq'> is divided by |q'|.
        """
        along = (grad * vectors).sum(-1, keepdim=True)
        if self.eps:
            along *= norms / (norms - self.eps).clamp(min=1e-12)
        grad -= vectors * along
        grad /= norms

    def scale_grad(self, grad: Tensor, vectors: Tensor) -> Tensor | float:
        """See `DotProduct`."""
        return (grad * vectors).sum((0, 2, 3))


# By name, because custom operators take strings and no objects.
SIMILARITIES: dict[str, type[DotProduct]] = {'cosine': Cosine, 'dot': DotProduct}
