"""Whether a model is being compiled, exported or traced."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.compiler import is_compiling
from torch.utils._python_dispatch import _get_current_dispatch_mode

__all__ = ['is_compiling', 'is_exporting', 'is_traced', 'static_sizes']

# torch 2.6 does not have it yet; with that version, export with attention_backend='plain'.
is_exporting = getattr(torch.compiler, 'is_exporting', lambda: False)


def is_traced() -> bool:
    """Whether operators are recorded or replaced rather than only run."""
    return (
        is_compiling()
        or torch.jit.is_tracing()
        or _get_current_dispatch_mode() is not None  # FakeTensorMode, make_fx
        or torch._C._functorch.peek_interpreter_stack() is not None  # torch.func
    )


def static_sizes(sizes: Sequence[int]) -> list[int]:
    """Spatial sizes as Python integers: window layouts are computed from them, once per graph.

    torch.jit.trace and the TorchScript exporter to ONNX trace sizes as tensors. Sizes of compiled
    graphs may be symbols, which an integer would fix.
    """
    return list(sizes) if is_compiling() else [int(size) for size in sizes]
