"""The backbone on CUDA without a GPU: fake tensors follow its rules of devices and shapes.

No operator meets two devices, nothing waits for the device, and what PyTorch's fused attention gets
is what its memory-efficient kernel takes.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import fake_cuda
import pytest
import torch
from fake_cuda import Attention, autocast, enabled_kernels, to_fake_cuda
from torch import Tensor, nn

import swinv2_dense
from swinv2_dense import SwinTransformerV2, VideoSwinTransformerV2
from swinv2_dense.models.fused_attention import align_mask
from swinv2_dense.models.window_attention import WindowAttention

ARCH = dict(embed_dims=16, depths=(2, 1), num_heads=(1, 2))
ONE_STAGE = dict(embed_dims=16, depths=(2,), num_heads=(1,))
ODD = (1, 3, 101, 135)
SLOW = pytest.mark.slow


class Item(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x.sum().item()


class Constant(nn.Module):
    """A tensor that is neither a parameter nor a buffer stays on the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = torch.ones(4)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.offset


class ConstantIndex(Constant):
    """Which indexing accepts."""

    def forward(self, x: Tensor) -> Tensor:
        return x[self.offset.long()]


class Copies(Constant):
    def forward(self, x: Tensor) -> Tensor:
        return x + self.offset.to(x.device)


class Selection(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[x > 0]


class Comparison(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.equal(x, x)


class ToHost(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.cpu()


class WaitsBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad * grad.sum().item()


class InBackward(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return WaitsBackward.apply(x)


@pytest.mark.parametrize(
    'module, reason',
    [
        (Item, 'waits for the device'),
        (InBackward, 'waits for the device'),
        (Selection, 'waits for the device'),
        (Comparison, 'waits for the device'),
        (ToHost, 'copies between host and device'),
        (Copies, 'copies between host and device'),
        (Constant, 'meets two devices'),
        (ConstantIndex, 'meets two devices'),
    ],
)
@pytest.mark.parametrize('made_up', [False, True])
def test_the_checker_finds(module, reason, made_up):
    model = module()
    with fake_cuda.fake_cuda(made_up) as recorder:
        x = torch.ones(4, 4, device='cuda', requires_grad=True)
        try:
            to_fake_cuda(model)(x).sum().backward()
        except Exception as error:  # noqa: BLE001 (PyTorch's own, of several types)
            assert not made_up or 'device' in str(error)
    assert [offense.reason for offense in recorder.offenses][:1] == [reason]
    assert recorder.offenses[0].file == __file__


def test_the_checker_accepts_what_runs_on_the_device():
    with fake_cuda.fake_cuda() as recorder:
        x = torch.ones(4, 4, device='cuda', requires_grad=True)
        index = torch.arange(4, device='cuda')
        (x[index] * torch.tensor(2.0) + torch.zeros_like(x)).sum().backward()
        assert x.grad.device == x.device and not x.is_cpu
    assert recorder.ops['aten.add.Tensor'] == 1 and not recorder.offenses
    assert torch.ones(1).is_cpu and not torch.ones(1, requires_grad=True).sum().is_cuda


def run_backbone(model: nn.Module, shape: tuple, dtype: torch.dtype | None) -> Any:
    """What a training step and a test met; gradients are where they belong."""
    frozen = {name for name, param in model.named_parameters() if not param.requires_grad}
    with fake_cuda.fake_cuda() as recorder:
        to_fake_cuda(model.train())
        with autocast(dtype):
            outs = model(torch.empty(shape, device='cuda'))
        outs = outs if isinstance(outs, tuple) else (outs,)
        if any(out.requires_grad for out in outs):
            sum(out.float().sum() for out in outs).backward()
        for name, param in model.named_parameters():
            assert (param.grad is None) == (name in frozen), name
            assert param.grad is None or param.grad.device == param.device, name
        with torch.no_grad(), autocast(dtype):
            model.eval()(torch.empty(shape, device='cuda'))
        assert all(out.is_cuda for out in outs)
    return recorder


def assert_kernel_takes(calls: list[Attention]) -> None:
    """The rules of PyTorch's memory-efficient kernel, of version 2.13 on sm_80 and newer.

    All are in aten/src/ATen/native/transformers of its source:

    - `preprocess_mask` of attention.cpp copies masks unless the strides of all axes but the last
      are multiples of 8 elements, and the last is 1. Then it expands them to (B, H, Q, K).
    - `check_head_dim_size_mem_efficient` and `check_data_ptr_alignment_mem_efficient` of
      cuda/sdp_utils.cpp fall back to the math kernel unless channels per head and the addresses
      of q, k and v are multiples of 16 bytes.
    - `check_supported` of cuda/mem_eff_attention/kernel_forward.h raises unless the address of the
      mask is aligned, and the strides of q, k, v by tokens and heads are. It reads masks by 16
      bytes.
    - `_efficient_attention_forward` of cuda/attention.cu wants the dtype of q.
    """
    assert calls
    for call in calls:
        size = torch.finfo(call.q.dtype).bits // 8
        for x in (call.q, call.k, call.v):
            assert x.dtype == call.q.dtype
            assert x.shape[-1] * size % 16 == 0 and x.offset * size % 16 == 0, x
            assert x.strides[-1] == 1 and not any(s * size % 16 for s in x.strides[:-1]), x
        mask = call.mask
        assert mask.dtype == call.q.dtype
        assert mask.strides[-1] == 1 and not any(s % 8 for s in mask.strides[:-1]), mask
        assert mask.offset * size % 16 == 0, mask
        wanted = (*call.q.shape[:-1], call.k.shape[-2])
        assert all(a in (1, b) for a, b in zip(mask.shape, wanted, strict=True))


CASES = {
    '7': dict(window_size=7),
    'frozen': dict(window_size=7, frozen_stages=1),
    '20, with_cp': dict(window_size=20, with_cp=True),
    '12, sequential': dict(window_size=12, sequential_attention=True),
    '32': dict(window_size=32),
    'dot products, table': dict(window_size=7, similarity='dot', position_bias='table'),
}
MORE = [(name, backend) for name in CASES for backend in ('auto', 'plain', 'sdpa')]
QUICK = {('7', 'auto'), ('7', 'sdpa'), ('frozen', 'auto')}
BACKWARD = 'aten._scaled_dot_product_efficient_attention_backward.default'
DTYPES = {'fp32': None, 'bf16': torch.bfloat16, 'fp16': torch.float16}


@pytest.mark.parametrize(
    'dtype', [pytest.param(x, marks=() if x == 'bf16' else SLOW) for x in DTYPES]
)
@pytest.mark.parametrize(
    'case, backend', [pytest.param(*x, marks=() if x in QUICK else SLOW) for x in MORE]
)
def test_images(case, backend, dtype):
    model = SwinTransformerV2(
        arch=ARCH, out_indices=(0, 1), attention_backend=backend, **CASES[case]
    )
    if backend == 'sdpa':
        for name, param in model.named_parameters():
            if re.search('cpb_mlp|relative_position_bias', name):
                param.requires_grad_(False)
    before = enabled_kernels()
    recorder = run_backbone(model, ODD, DTYPES[dtype])
    assert recorder.offenses == [] and enabled_kernels() == before
    assert (recorder.ops[BACKWARD] > 0) == (backend == 'sdpa')
    if backend != 'plain':
        assert_kernel_takes(recorder.calls)
        assert recorder.kernels == {'flash', 'efficient', 'math'}
    if dtype != 'fp32' and backend != 'plain':
        assert {call.q.dtype for call in recorder.calls} == {DTYPES[dtype]}


@pytest.mark.parametrize(
    'dtype, window, arch, frozen, size',
    [
        ('bf16', (2, 7, 7), ONE_STAGE, -1, (5, 27, 45)),
        pytest.param('bf16', (8, 7, 7), ONE_STAGE, -1, (17, 67, 75), marks=SLOW),
        pytest.param('bf16', (8, 7, 7), ARCH, 1, (17, 67, 75), marks=SLOW),
        pytest.param('fp32', (8, 7, 7), ARCH, 0, (17, 67, 75), marks=SLOW),
        pytest.param('fp32', (8, 12, 12), ARCH, -1, (17, 67, 75), marks=SLOW),
    ],
)
def test_videos(dtype, window, arch, frozen, size):
    """Patches have 2 frames: windows are padded, shifted and cut along all axes."""
    model = VideoSwinTransformerV2(
        arch=arch, window_size=window, out_indices=(len(arch['depths']) - 1,), frozen_stages=frozen
    )
    recorder = run_backbone(model, (1, 3, *size), DTYPES[dtype])
    assert recorder.offenses == []
    assert_kernel_takes(recorder.calls)


def test_auto_is_sdpa_where_the_bias_is_frozen():
    model = SwinTransformerV2(arch=ONE_STAGE, window_size=7, out_indices=(0,))
    for name, param in model.named_parameters():
        param.requires_grad_('cpb_mlp' not in name)
    with fake_cuda.fake_cuda() as recorder:
        to_fake_cuda(model)(torch.empty(1, 3, 33, 45, device='cuda'))[0].sum().backward()
    assert recorder.ops[BACKWARD] == len(recorder.calls) > 0


@pytest.mark.parametrize('num_keys', [1, 7, 8, 49, 64])
@pytest.mark.parametrize('offset', [0, 3, 8])
def test_masks_are_aligned_and_equal(num_keys, offset):
    values = torch.randn(2, 5, 80)
    mask = values[None, :, :, offset : offset + num_keys].expand(3, -1, -1, -1)
    aligned = align_mask(mask)
    assert torch.equal(aligned, mask)
    assert aligned.stride(-1) == 1 and aligned.storage_offset() % 8 == 0
    assert not any(stride % 8 for stride in aligned.stride()[:-1])
    if offset % 8 == 0:
        assert aligned.data_ptr() == mask.data_ptr()  # not a copy


def test_a_mask_without_alignment_is_found():
    """Of windows of 7 x 7, as PyTorch would have to copy it."""
    q = torch.empty(1, 2, 49, 16, device='meta')
    mask = torch.empty(1, 2, 49, 49, device='meta')
    layouts = [fake_cuda.Layout.of(x) for x in (q, q, q, mask)]
    with pytest.raises(AssertionError):
        assert_kernel_takes([Attention(*layouts)])
    layouts[3] = fake_cuda.Layout.of(align_mask(mask))
    assert_kernel_takes([Attention(*layouts)])


def test_attention_of_pytorch_is_called_in_one_place():
    """Where its kernels are chosen."""
    package = Path(swinv2_dense.__file__).parent
    files = {
        path.name
        for path in package.rglob('*.py')
        if 'scaled_dot_product_attention(' in path.read_text(encoding='utf-8')
    }
    assert files == {'fused_attention.py'}


@pytest.mark.parametrize('backend', ['sdpa', 'auto'])
def test_a_head_width_that_the_kernels_do_not_take_is_named(backend, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    text = rf"attention_backend='{backend}' with 12 channels per head.*change num_heads or embed_d"
    with pytest.warns(UserWarning, match=text):
        WindowAttention(24, 2, (4, 4), (4, 4), backend=backend)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        WindowAttention(32, 2, (4, 4), (4, 4), backend=backend)
        WindowAttention(24, 2, (4, 4), (4, 4), backend='plain')
        monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
        WindowAttention(24, 2, (4, 4), (4, 4))
