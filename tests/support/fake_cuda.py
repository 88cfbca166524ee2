"""Models on CUDA without a GPU: every operator's rules of devices and shapes, and no numbers.

`FakeTensorMode` makes tensors that say they are on CUDA, on any build of torch. The C++ engine of
autograd needs more of a device than its name (guards, streams), so only Python sees CUDA here; to
C++ the tensors are on the meta device. Autocast looks at C++'s device: `autocast` casts in Python.
"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensor, FakeTensorMode
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

CUDA = torch.device('cuda', 0)
aten = torch.ops.aten
# Operators that return numbers or shapes to the host, which waits until the device knows them.
WAITS = {
    aten._local_scalar_dense,  # item, tolist, bool, float, int
    aten.equal,
    aten.is_nonzero,
    aten.nonzero,  # also of where(condition)
    aten.masked_select,
    aten.unique_consecutive,
    aten.unique_dim,
    aten._unique2,
    aten.bincount,
    aten.repeat_interleave,
}
COPIES = {aten._to_copy, aten.copy_, aten.copy}
INDEXING = {aten.index, aten.index_put, aten.index_put_, aten._unsafe_index}
# Functions that autocast runs in its dtype or in fp32 on CUDA, of those that the models call: see
# "CUDA Op-Specific Behavior" in the documentation of torch.amp.
LOW = {F.linear, F.conv1d, F.conv2d, F.conv3d, F.conv_transpose2d, F.scaled_dot_product_attention,
       torch.addmm, torch.baddbmm, torch.bmm, torch.einsum, torch.matmul, torch.mm, Tensor.bmm,
       Tensor.matmul, Tensor.mm, Tensor.__matmul__}  # fmt: skip
FP32 = {F.binary_cross_entropy_with_logits, F.cross_entropy, F.group_norm, F.l1_loss,
        F.layer_norm, F.log_softmax, F.mse_loss, F.nll_loss, F.smooth_l1_loss, F.softmax,
        torch.exp, torch.log, torch.norm, torch.prod, torch.softmax, torch.sum, Tensor.cumsum,
        Tensor.exp, Tensor.log, Tensor.norm, Tensor.pow, Tensor.prod, Tensor.softmax,
        Tensor.sum, F.multi_head_attention_forward}  # fmt: skip
ATTENTION = {F.scaled_dot_product_attention, F.multi_head_attention_forward}


class Offense(NamedTuple):
    """An operator that waits for the device, or that meets two devices."""

    reason: str
    op: str
    file: str  # that called it
    line: int


class Layout(NamedTuple):
    """A tensor as scaled_dot_product_attention got it."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int  # of its first element in its storage, in elements
    dtype: torch.dtype

    @classmethod
    def of(cls, x: Tensor) -> Layout:
        return cls(tuple(x.shape), x.stride(), x.storage_offset(), x.dtype)


class Attention(NamedTuple):
    """A call of scaled_dot_product_attention."""

    q: Layout
    k: Layout
    v: Layout
    mask: Layout | None


class DeviceRecorder(TorchDispatchMode):
    """Records operators that wait for the device or meet two devices.

    Args:
        made_up: Where the host asks for numbers, go on with True, 1.0, 1000, all elements or
            zeros; an error otherwise.

    Attributes:
        offenses: What was found.
        calls: Calls of scaled_dot_product_attention, by `fake_cuda`.
        kernels: Those that attention might choose, by `fake_cuda`.
        ops: How often each operator ran.
    """

    def __init__(self, made_up: bool = False) -> None:
        super().__init__()
        self.made_up = made_up
        self.offenses: list[Offense] = []
        self.calls: list[Attention] = []
        self.kernels: set[str] = set()
        self.ops: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if kwargs.get('device') is not None and torch.device(kwargs['device']).type == 'meta':
            kwargs['device'] = CUDA  # C++ passed the device of one of its tensors
        self.ops[str(func)] += 1
        reason = _offense(func, args, kwargs)
        if reason:
            self.offenses.append(Offense(reason, str(func), *_caller()))
            if self.made_up:
                return _made_up(func, args, kwargs)
        return func(*args, **kwargs)


class _Functions(TorchFunctionMode):
    """What C++ decides by the device: kernels of attention, and dtypes of autocast."""

    def __init__(self, recorder: DeviceRecorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.is_autocast_enabled('cuda'):
            dtype = _autocast_dtype(func)
            if dtype is not None:
                args, kwargs = _cast((args, kwargs), dtype)
        if func in ATTENTION and args[0].is_cuda:
            self.recorder.kernels |= enabled_kernels()
        if func is F.scaled_dot_product_attention and args[0].is_cuda:
            return self._attend(*args, **kwargs)
        if func in (Tensor.numpy, Tensor.__array__) and self.recorder.made_up:
            with unset_fake_temporarily():
                return torch.zeros(args[0].shape, dtype=args[0].dtype).numpy()
        return func(*args, **kwargs)

    def _attend(
        self, q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None, scale: Any = None
    ) -> Tensor:
        """The operator that the memory-efficient kernel implements, with its layout of the output.

        Unlike PyTorch, it does not copy masks that break the kernel's rules.
        """
        inputs = (q, k, v, attn_mask)
        self.recorder.calls.append(
            Attention(*(None if x is None else Layout.of(x) for x in inputs))
        )
        if attn_mask is not None:
            attn_mask = attn_mask.expand(*q.shape[:-1], k.shape[-2])
        needs_grad = torch.is_grad_enabled() and any(
            x is not None and x.requires_grad for x in inputs
        )
        return aten._scaled_dot_product_efficient_attention(
            q, k, v, attn_mask, needs_grad, scale=scale
        )[0]


def enabled_kernels() -> set[str]:
    """Names of the kernels that scaled_dot_product_attention may choose on CUDA."""
    cuda = torch.backends.cuda
    enabled = {
        'flash': cuda.flash_sdp_enabled(),
        'efficient': cuda.mem_efficient_sdp_enabled(),
        'math': cuda.math_sdp_enabled(),
        'cudnn': cuda.cudnn_sdp_enabled(),
    }
    return {name for name, value in enabled.items() if value}


@contextlib.contextmanager
def fake_tensors() -> Iterator[None]:
    """Context in which all tensors are fake, and may be made on CUDA and differentiated."""
    fakes = FakeTensorMode(allow_non_fake_inputs=True)
    make_subclass, new = Tensor._make_subclass, FakeTensor.__new__

    def for_cpp(cls: type, data: Tensor, requires_grad: bool = False, **kwargs: Any) -> Tensor:
        if cls is FakeTensor:
            kwargs['dispatch_device'] = False  # C++ sees the device of `data`, which is meta
        return make_subclass(cls, data, requires_grad, **kwargs)

    def on_cuda(cls: type, mode: Any, elem: Tensor, device: Any, *args: Any, **kwargs: Any) -> Any:
        if torch.device(device).type == 'meta':  # made in C++ like a tensor on CUDA
            device = CUDA
        return new(cls, mode, elem, device, *args, **kwargs)

    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(Tensor, '_make_subclass', staticmethod(for_cpp)))
        stack.enter_context(mock.patch.object(FakeTensor, '__new__', on_cuda))
        for kind in ('cpu', 'cuda', 'meta'):
            answer = property(lambda x, kind=kind: x.device.type == kind)
            stack.enter_context(mock.patch.object(FakeTensor, f'is_{kind}', answer))
        # Without a GPU, torch.autocast switches itself off.
        common, no = torch.cuda.amp.common, mock.Mock(return_value=False)
        stack.enter_context(mock.patch.object(common, 'amp_definitely_not_available', no))
        stack.enter_context(mock.patch.object(torch.cuda, 'is_bf16_supported', lambda: True))
        with fakes:
            yield


@contextlib.contextmanager
def fake_cuda(made_up: bool = False) -> Iterator[DeviceRecorder]:
    """`fake_tensors`, with what watches their operators: see `DeviceRecorder`."""
    recorder = DeviceRecorder(made_up)
    functions, run_backward = _Functions(recorder), torch.autograd._engine_run_backward

    def recompute(*args: Any, **kwargs: Any) -> Any:
        with functions:  # which PyTorch leaves while it handles `backward`, itself a function
            return run_backward(*args, **kwargs)

    with (
        fake_tensors(),
        recorder,
        functions,
        mock.patch.object(torch.autograd, '_engine_run_backward', recompute),
    ):
        yield recorder


def autocast(dtype: torch.dtype | None) -> torch.autocast:
    """Autocast on CUDA, off for None."""
    return torch.autocast('cuda', dtype, enabled=dtype is not None)


def to_fake_cuda(model: nn.Module) -> nn.Module:
    """Replace parameters and buffers, in a `fake_cuda`. Other tensors stay: see what they do."""
    for module in model.modules():
        for name, param in module._parameters.items():
            if param is not None:
                fake = torch.empty_like(param, device=CUDA)
                module._parameters[name] = nn.Parameter(fake, param.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = torch.empty_like(buffer, device=CUDA)
    return model


def _offense(func: Any, args: Any, kwargs: Any) -> str:
    """Why an operator must not run on CUDA; '' if it may."""
    packet = func.overloadpacket
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    devices = {x.device.type for x in tensors}
    if packet in COPIES:
        target = kwargs.get('device') or (args[0].device if packet is not aten._to_copy else None)
        devices |= {torch.device(target).type} if target is not None else set()
        return 'copies between host and device' if len(devices) > 1 else ''
    if 'cuda' not in devices:
        return ''
    if packet in WAITS:
        return 'waits for the device'
    if packet in INDEXING and any(
        x.dtype in (torch.bool, torch.uint8) for x in tree_leaves(args[1]) if x is not None
    ):
        return 'waits for the device'
    if any(x.device.type != 'cuda' and x.dim() for x in tensors):  # numbers are arguments
        return 'meets two devices'
    return ''


def _made_up(func: Any, args: Any, kwargs: Any) -> Any:
    """A result where there are no numbers to compute one."""
    packet, x = func.overloadpacket, args[0]
    if packet is aten._local_scalar_dense:
        return _one(x.dtype)
    if packet in (aten.equal, aten.is_nonzero):
        return True
    if packet is aten._unique2:
        counts = (x.new_empty(x.numel() if inverse else 1, dtype=torch.int64) for inverse in (1, 0))
        return x.flatten()[:1], *counts
    if packet is aten.nonzero:
        return torch.empty(x.numel(), x.dim(), dtype=torch.int64, device=x.device)
    if packet in INDEXING:
        indices = [part for index in args[1] for part in _whole(index)]
        return func(x, indices, *args[2:], **kwargs)
    return func(*args, **kwargs)


def _one(dtype: torch.dtype) -> bool | int | float:
    if dtype == torch.bool:
        return True
    return 1.0 if dtype.is_floating_point else 1000


def _whole(index: Tensor | None) -> list[Tensor | None]:
    """Positions of all elements of a mask, of which the selected ones are not known."""
    if index is None or index.dtype not in (torch.bool, torch.uint8):
        return [index]
    place = torch.empty(index.numel(), dtype=torch.int64, device=index.device)
    return [place] * index.dim()


def _autocast_dtype(func: Any) -> torch.dtype | None:
    if func in LOW:
        return torch.get_autocast_dtype('cuda')
    return torch.float32 if func in FP32 else None


def _cast(values: Any, dtype: torch.dtype) -> Any:
    """Floating-point tensors in another dtype."""

    def cast(x: Any) -> Any:
        return x.to(dtype) if isinstance(x, Tensor) and x.is_cuda and x.is_floating_point() else x

    return tree_map(cast, values)


def _caller() -> tuple[str, int]:
    """File and line of the innermost frame outside of torch and of this file."""
    frame = sys._getframe()
    while frame.f_back and (
        'torch' in Path(frame.f_code.co_filename).parts or frame.f_code.co_filename == __file__
    ):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


def fake_mmcv_ops(monkeypatch: Any) -> None:
    """Compiled operators of mmcv that compute shapes alone; they fill what they are given."""
    from mmcv import _ext

    def attend(value: Tensor, *args: Tensor, im2col_step: int) -> Tensor:
        return value.new_empty(len(value), args[2].shape[1], value.shape[2] * value.shape[3])

    def keep(boxes: Tensor, scores: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return torch.empty(len(scores), dtype=torch.int64, device=scores.device)

    for name in ('roi_align_forward', 'roi_align_backward', 'ms_deform_attn_backward'):
        monkeypatch.setattr(_ext, name, lambda *args, **kwargs: None)
    monkeypatch.setattr(_ext, 'ms_deform_attn_forward', attend)
    for name in ('nms', 'softnms'):
        monkeypatch.setattr(_ext, name, keep)
