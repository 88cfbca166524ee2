"""The backbone as others use it: traced, exported, adapted, sharded, hooked."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import pytest
import torch
from commands import SUPPORT
from tiny_models import tiny
from torch import nn
from torch.testing import assert_close
from window_cases import randomized

from swinv2_dense.models.attention_backends import as_attn_mask
from swinv2_dense.models.mlp import Mlp
from swinv2_dense.models.position_bias import LogCPB
from swinv2_dense.models.window_attention import WindowAttention


@pytest.mark.parametrize('backend', ['auto', 'tiled', 'sdpa'])
@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')
def test_traced_follows_its_weights(backend):
    """Even if tables are cached already: none may become a constant of the graph."""
    model = tiny(attention_backend=backend).eval().requires_grad_(False)
    image = torch.randn(1, 3, 40, 56)
    with torch.no_grad():
        model(image)
        traced = torch.jit.trace(model, image)
        for weight in model.parameters():
            weight.mul_(1.1)
        for a, b in zip(traced(image), model(image)):
            assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_exported_graph_has_common_operators_only():
    detected = hasattr(torch.compiler, 'is_exporting')  # with torch 2.6, the user must choose
    model = tiny(attention_backend='auto' if detected else 'plain').eval()
    image = torch.randn(1, 3, 40, 56)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter('ignore')
        program = torch.export.export(model, (image,))
        assert 'swinv2_dense' not in str(program.graph)
        for a, b in zip(program.module()(image), model(image)):
            assert_close(a, b, atol=1e-4, rtol=1e-4)


class Double(nn.Module):
    def forward(self, x):
        return 2 * x


def test_parametrized_weights_are_used():
    cpb = randomized(LogCPB(2, (4, 4)))
    for layer in (cpb[0], cpb[2]):
        before = cpb((4, 4)).detach()
        nn.utils.parametrize.register_parametrization(layer, 'weight', Double())
        with torch.no_grad():
            assert not torch.equal(cpb((4, 4)), before)
    doubled = LogCPB(2, (4, 4))
    with torch.no_grad():
        for mine, theirs in ((doubled[0], cpb[0]), (doubled[2], cpb[2])):
            mine.weight.copy_(theirs.weight)
        doubled[0].bias.copy_(cpb[0].bias)
        assert torch.equal(cpb((4, 4)), doubled((4, 4)))


def test_a_replaced_projection_is_refused():
    module = WindowAttention(8, 2, (4, 4), (4, 4))
    module.qkv = nn.Sequential(module.qkv)
    with pytest.raises(TypeError, match='attn.qkv is a Sequential; attention multiplies'):
        module(torch.randn(1, 8, 8, 8))


@torch.no_grad()
def test_changed_calls_and_global_hooks_of_mlp_layers_are_used():
    mlp, x = Mlp(4), torch.randn(3, 4)
    mlp.fc2.forward = lambda x: torch.full((3, 4), 7.0)
    assert (mlp(x) == 7).all()
    mlp, seen = Mlp(4), []
    handle = nn.modules.module.register_module_forward_hook(lambda m, *_: seen.append(m))
    mlp(x)
    handle.remove()
    assert mlp.fc1 in seen and mlp.fc2 in seen


def test_frozen_layers_of_the_mlp():
    mlp, x = randomized(Mlp(4)), torch.randn(3, 4, requires_grad=True)
    everything = torch.autograd.grad(mlp(x).square().sum(), [x, *mlp.parameters()])
    mlp.fc1.requires_grad_(False)
    found = torch.autograd.grad(mlp(x).square().sum(), [x, *mlp.fc2.parameters()])
    for a, b in zip(found, (everything[0], *everything[3:])):
        assert_close(a, b)


def test_a_cache_under_another_mode_stays_clean():
    from torch._subclasses.fake_tensor import FakeTensorMode

    cpb = LogCPB(2, (4, 4))
    with torch.no_grad():
        with FakeTensorMode(allow_non_fake_inputs=True):
            cpb((4, 4))
        assert torch.equal(cpb((4, 4)), cpb.evaluate((4, 4)))
        params = {name: torch.stack([p, 2 * p]) for name, p in cpb.named_parameters()}
        both = torch.func.vmap(lambda p: torch.func.functional_call(cpb, p, ((4, 4),)))(params)
        assert_close(both[0], cpb((4, 4)))


def test_bias_is_rounded_less_its_largest_value_where_kernels_want_half_precision():
    """On any device but a CPU; both passes of tiled attention use this."""
    lines = torch.rand(2, 4, 7, 4) * 16
    assert as_attn_mask(lines, torch.empty(0, dtype=torch.bfloat16)) is lines
    rounded = as_attn_mask(lines, torch.empty(0, dtype=torch.bfloat16, device='meta'))
    assert rounded.dtype == torch.bfloat16
    assert (rounded.amax((1, 2, 3)) == 0).all()
    largest = lines.amax((1, 2, 3), keepdim=True)
    assert_close(rounded.float() + largest, lines, atol=16 / 256, rtol=0)


@pytest.mark.cuda
def test_bias_in_half_precision_gives_close_gradients_on_cuda():
    module = randomized(WindowAttention(32, 2, (8, 8), (8, 8))).cuda()
    x = torch.randn(1, 16, 16, 32, device='cuda', requires_grad=True)

    def run() -> list:
        out = module(x)
        return [out, *torch.autograd.grad(out.float().square().sum(), [x, *module.parameters()])]

    exact = run()
    with torch.autocast('cuda', torch.bfloat16):
        low = run()
    for a, b in zip(low, exact):
        assert (a - b).norm() < 0.05 * b.norm()


SHARDED = """
import sys, torch, torch.distributed as dist
from functools import partial
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP
from torch.distributed.fsdp.wrap import transformer_auto_wrap_policy
from tiny_models import tiny
from swinv2_dense.models.blocks import SwinBlock

rank, store = int(sys.argv[1]), sys.argv[2]
dist.init_process_group('gloo', init_method=f'file://{store}', rank=rank, world_size=2)
image = torch.randn(1, 3, 40, 56, generator=torch.Generator().manual_seed(0))
for original in (False, True):
    settings = dict(with_cp=original, sequential_attention=original)
    expected = tiny(**settings)
    sum(o.square().sum() for o in expected(image)).backward()
    policy = partial(transformer_auto_wrap_policy, transformer_layer_cls={SwinBlock})
    model = FSDP(
        tiny(**settings), auto_wrap_policy=policy, use_orig_params=original, device_id='cpu'
    )
    for a, b in zip(model(image), expected(image)):
        torch.testing.assert_close(a, b)
    sum(o.square().sum() for o in model(image)).backward()
    for trained in (model, expected):
        torch.optim.SGD(trained.parameters(), lr=1e-4).step()
    state = model.state_dict()
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(state[name], value)
print('equal')
"""


@pytest.mark.filterwarnings('ignore')
@pytest.mark.slow
def test_fsdp_of_two_processes_equals_one(tmp_path):
    """Each block wrapped, parameters as views or originals, with and without checkpointing."""
    environment = os.environ | dict(
        PYTHONPATH=os.pathsep.join([str(SUPPORT), *sys.path]), OMP_NUM_THREADS='1'
    )
    command = [sys.executable, '-W', 'ignore', '-c', SHARDED]
    ranks = [
        subprocess.Popen(
            [*command, str(rank), str(tmp_path / 'store')],
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for rank in range(2)
    ]
    try:
        for process in ranks:
            out, error = process.communicate(timeout=300)
            assert process.returncode == 0, error[-3000:]
            assert 'equal' in out
    finally:
        for process in ranks:
            process.kill()
