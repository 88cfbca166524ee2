"""PyTorch's fused attention kernels: which of them run on CUDA, and what they ask for there.

The memory-efficient kernel is the one that takes a position bias. Its rules, from PyTorch 2.13
(aten/src/ATen/native/transformers: attention.cpp, cuda/sdp_utils.cpp, and
cuda/mem_eff_attention/kernel_forward.h):

- Channels per head are a multiple of 16 bytes: 8 in half precision, 4 in fp32. Others run the math
  kernel, which writes N x N logits.
- q, k and v start at a multiple of 16 bytes.
- A mask has the dtype of q, a last axis without gaps, and other strides that are multiples of 8
  elements; it may be expanded, with stride 0. PyTorch copies masks that break this. It does not
  check where they start, also a multiple of 16 bytes; the kernel does, and raises.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from .tracing import is_compiling

# Not cuDNN's kernel, which PyTorch prefers on sm_90 and sm_100 from cuDNN 9.15.1 on: it plans anew
# for every shape, of which multi-scale training has over a hundred, and has had wrong gradients
# with masks. Flash attention takes no masks.
KERNELS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
MASK_ALIGNMENT = 8  # elements
HEAD_ALIGNMENT = 8  # channels per head, in half precision


def fused_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_mask: Tensor | None = None,
    scale: float | None = None,
) -> Tensor:
    """`F.scaled_dot_product_attention`, with `KERNELS` and an aligned mask on CUDA."""
    if attn_mask is not None and q.device.type == 'cuda':
        attn_mask = align_mask(attn_mask)
    with choose_kernel(q):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask, scale=scale)


def choose_kernel(x: Tensor) -> AbstractContextManager:
    """Context in which attention of tensors like `x` runs one of `KERNELS` on CUDA."""
    return sdpa_kernel(KERNELS) if x.device.type == 'cuda' else nullcontext()


def align_mask(mask: Tensor) -> Tensor:
    """The mask, or a copy in rows of whole `MASK_ALIGNMENT` if it breaks the rules above."""
    if is_compiling():  # does not know offsets; masks are copied for their strides there
        return mask
    *strides, last = mask.stride()
    starts = (*strides, mask.storage_offset())
    if last == 1 and all(start % MASK_ALIGNMENT == 0 for start in starts):
        return mask
    num_keys = mask.shape[-1]
    return F.pad(mask, (0, -num_keys % MASK_ALIGNMENT or MASK_ALIGNMENT))[..., :num_keys]
