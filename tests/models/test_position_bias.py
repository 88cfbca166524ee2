"""The cache of position bias tables in eval mode: never stale, never larger than its limit."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from tiny_models import tiny
from torch import nn

from swinv2_dense.models.position_bias import TABLES, LogCPB, TableCache


class CountingLogCPB(LogCPB):
    """Records the windows that a table is evaluated for."""

    def evaluate(self, window_size):
        self.evaluations = [*getattr(self, 'evaluations', []), window_size]
        return super().evaluate(window_size)


@torch.no_grad()
def test_kept_while_nothing_changes():
    cpb = CountingLogCPB(2, (4, 4))
    first = cpb((4, 4))
    assert cpb((4, 4)) is first
    assert torch.equal(cpb([4, 4]), first)
    cpb((3, 4))
    assert cpb.evaluations == [(4, 4), (3, 4)]


def test_not_kept_where_gradients_are_recorded():
    before = TABLES.num_bytes
    LogCPB(2, (4, 4))((4, 4)).sum().backward()
    assert TABLES.num_bytes == before


def sgd(cpb):
    optimizer = torch.optim.SGD(cpb.parameters(), lr=0.1)
    with torch.enable_grad():
        cpb((4, 4)).sum().backward()
    optimizer.step()


def load(cpb):
    cpb.load_state_dict({k: v + 1 for k, v in cpb.state_dict().items()})


def swap(cpb):
    """Like mmengine's EMAHook, which swaps the weights of two models."""
    for param in cpb.parameters():
        other = param.data.clone() * 3
        param.data.copy_(other)


def swap_storage(cpb):
    for param in cpb.parameters():
        param.data = param.data * 2


def smallest_change(cpb):
    weight = cpb[2].weight.data
    weight[-1, -1] = torch.nextafter(weight[-1, -1], torch.tensor(9.0))


def replace(cpb):
    cpb[2] = nn.Linear(512, 2, bias=False)


def pretrained_window(cpb):
    cpb.pretrained_window_size = (7, 7)


CHANGES = [sgd, load, swap, swap_storage, smallest_change, replace, pretrained_window]
CHANGES += [lambda m, d=d: m.to(d) for d in (torch.float64, torch.bfloat16)] + [lambda m: m.half()]


@pytest.mark.parametrize('change', CHANGES)
@torch.no_grad()
def test_never_stale(change):
    cpb = LogCPB(2, (4, 4))
    before = cpb((4, 4))
    change(cpb)
    after = cpb((4, 4))
    assert torch.equal(after, cpb.evaluate((4, 4)))
    assert after.dtype == (torch.float64 if cpb[0].weight.dtype == torch.float64 else torch.float32)
    assert after is not before


@pytest.mark.parametrize('clone', [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@torch.no_grad()
def test_copies_have_tables_of_their_own(clone):
    cpb = LogCPB(2, (4, 4))
    before = cpb((4, 4))
    other = clone(cpb)
    swap(other)
    assert torch.equal(other((4, 4)), other.evaluate((4, 4)))
    assert cpb((4, 4)) is before
    assert len(pickle.dumps(cpb)) < 4 * sum(p.numel() for p in cpb.parameters()) + 4096


@torch.no_grad()
def test_a_new_module_in_the_place_of_a_dead_one():
    """Python reuses the id of a deleted object."""
    for _ in range(20):
        cpb = LogCPB(2, (4, 4))
        assert torch.equal(cpb((4, 4)), cpb.evaluate((4, 4)))
        del cpb


def entry_bytes(cpb: LogCPB, window: tuple[int, int]) -> int:
    """Size of a cache entry: the weights and the table, in fp32."""
    weights = sum(p.numel() for p in cpb.parameters())
    return 4 * (weights + 2 * (2 * window[0] - 1) * (2 * window[1] - 1))


@torch.no_grad()
def test_weights_with_nan_are_not_trusted():
    cpb, cache = CountingLogCPB(2, (4, 4)), TableCache(max_bytes=1 << 20)
    cpb[0].weight[0, 0] = float('nan')
    for _ in range(2):
        cache.table(cpb, (4, 4))
    assert cpb.evaluations == [(4, 4)] * 2
    assert cache.num_bytes == entry_bytes(cpb, (4, 4))


@torch.no_grad()
def test_bounded_and_the_least_recently_used_is_dropped():
    cpb = CountingLogCPB(2, (4, 4))
    cache = TableCache(max_bytes=entry_bytes(cpb, (3, 4)) + entry_bytes(cpb, (4, 4)))
    for window in (3, 4, 3):
        cache.table(cpb, (window, 4))
    assert cache.num_bytes == cache.max_bytes
    cache.table(cpb, (2, 4))  # smaller than (4, 4), which was used before (3, 4)
    assert cache.num_bytes == entry_bytes(cpb, (3, 4)) + entry_bytes(cpb, (2, 4))
    for window in (3, 2, 4):
        cache.table(cpb, (window, 4))
    assert cpb.evaluations == [(3, 4), (4, 4), (2, 4), (4, 4)]
    for window in range(2, 40):
        cache.table(cpb, (window, 4))
        assert cache.num_bytes <= cache.max_bytes
    cache.table(cpb, (1000, 4))  # larger than the limit: returned, not kept
    assert cache.num_bytes == 0
    assert TABLES.max_bytes == 64 << 20


def test_tables_of_inference_mode_serve_no_grad_and_are_not_trained_with():
    model = tiny()
    image = torch.randn(1, 3, 32, 32)
    model.eval()
    with torch.inference_mode():
        model(image)
    with torch.no_grad():
        model(image)
    model.layers[0].blocks[0].attn.cpb_mlp.requires_grad_(False)
    sum(o.sum() for o in model(image)).backward()


def evaluate_between_steps(model: nn.Module) -> None:
    wrapped = nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(wrapped.parameters(), lr=0.5)
    image = torch.randn(1, 3, 32, 32)
    for _ in range(2):
        with torch.no_grad():
            outs, expected = wrapped.eval()(image), copy.deepcopy(model).eval()(image)
        for a, b in zip(outs, expected):
            assert torch.equal(a, b)
        optimizer.zero_grad()
        sum(o.square().mean() for o in wrapped.train()(image)).backward()
        optimizer.step()


def test_follows_training_under_ddp(tmp_path):
    """The next evaluation sees the training steps of a wrapped model."""
    import torch.distributed as dist

    dist.init_process_group('gloo', init_method=f'file://{tmp_path}/store', rank=0, world_size=1)
    try:
        evaluate_between_steps(tiny())  # DDP must be gone before its process group
    finally:
        dist.destroy_process_group()


@pytest.mark.cuda
@torch.no_grad()
def test_moving_to_another_device():
    cpb = LogCPB(2, (4, 4))
    before = cpb((4, 4))
    assert cpb.cuda()((4, 4)).is_cuda
    assert torch.equal(cpb.cpu()((4, 4)), before)
