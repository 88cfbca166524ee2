"""Whether a model is being compiled, exported or traced."""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import _get_current_dispatch_mode

# torch < 2.3 has it in _dynamo only.
is_compiling = getattr(torch.compiler, 'is_compiling', None) or torch._dynamo.is_compiling


def is_traced() -> bool:
    """Whether operators are recorded, or replaced, rather than only run."""
    return (
        is_compiling()
        or torch.jit.is_tracing()
        or _get_current_dispatch_mode() is not None  # FakeTensorMode, make_fx
        or torch._C._functorch.peek_interpreter_stack() is not None  # torch.func
    )
