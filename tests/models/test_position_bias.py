"""Tables of the position bias that are kept in eval: never stale, never more than their bound."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from tiny_models import tiny
from torch import nn

from swinv2_dense.models import position_bias
from swinv2_dense.models.position_bias import LogCPB, TableCache


@pytest.fixture
def tables(monkeypatch):
    """A cache of its own for the test."""
    cache = TableCache(max_bytes=1 << 20)
    monkeypatch.setattr(position_bias, 'TABLES', cache)
    return cache


@pytest.fixture
def evaluations(monkeypatch):
    """Windows that a table was evaluated for."""
    windows = []
    evaluate = LogCPB.evaluate

    def counting(self, window_size):
        windows.append(window_size)
        return evaluate(self, window_size)

    monkeypatch.setattr(LogCPB, 'evaluate', counting)
    return windows


@torch.no_grad()
def test_kept_while_nothing_changes(tables, evaluations):
    cpb = LogCPB(2, (4, 4))
    first = cpb((4, 4))
    assert cpb((4, 4)) is first
    assert torch.equal(cpb([4, 4]), first)
    cpb((3, 4))
    assert evaluations == [(4, 4), (3, 4)]


def test_not_kept_where_gradients_are_recorded(tables):
    cpb = LogCPB(2, (4, 4))
    cpb((4, 4)).sum().backward()
    assert not tables._entries


def sgd(cpb):
    optimizer = torch.optim.SGD(cpb.parameters(), lr=0.1)
    with torch.enable_grad():
        cpb((4, 4)).sum().backward()
    optimizer.step()


def load(cpb):
    cpb.load_state_dict({k: v + 1 for k, v in cpb.state_dict().items()})


def swap(cpb):
    """As mmengine's EMAHook exchanges the weights of two models."""
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


def divisor(cpb):
    cpb.pretrained_window_size = (7, 7)


CHANGES = [sgd, load, swap, swap_storage, smallest_change, replace, divisor]
CHANGES += [lambda m, d=d: m.to(d) for d in (torch.float64, torch.bfloat16)] + [lambda m: m.half()]


@pytest.mark.parametrize('change', CHANGES)
@torch.no_grad()
def test_never_stale(change, tables):
    cpb = LogCPB(2, (4, 4))
    before = cpb((4, 4))
    change(cpb)
    after = cpb((4, 4))
    assert torch.equal(after, cpb.evaluate((4, 4)))
    assert after.dtype == (torch.float64 if cpb[0].weight.dtype == torch.float64 else torch.float32)
    assert after is not before


@pytest.mark.parametrize('clone', [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@torch.no_grad()
def test_copies_have_tables_of_their_own(clone, tables):
    cpb = LogCPB(2, (4, 4))
    before = cpb((4, 4))
    other = clone(cpb)
    swap(other)
    assert torch.equal(other((4, 4)), other.evaluate((4, 4)))
    assert cpb((4, 4)) is before
    assert len(pickle.dumps(cpb)) < 4 * sum(p.numel() for p in cpb.parameters()) + 4096


@torch.no_grad()
def test_a_new_module_in_the_place_of_a_dead_one(tables):
    """Python reuses the identity of an object that is gone."""
    for _ in range(20):
        cpb = LogCPB(2, (4, 4))
        assert torch.equal(cpb((4, 4)), cpb.evaluate((4, 4)))
        del cpb


@torch.no_grad()
def test_weights_that_are_not_numbers_are_not_trusted(tables, evaluations):
    cpb = LogCPB(2, (4, 4))
    cpb[0].weight[0, 0] = float('nan')
    cpb((4, 4)), cpb((4, 4))
    assert evaluations == [(4, 4)] * 2
    assert tables.num_bytes == sum(map(tables._size, tables._entries))


@torch.no_grad()
def test_bounded_and_the_least_recently_used_goes(evaluations):
    cpb = LogCPB(2, (4, 4))
    weights = sum(p.numel() for p in cpb.parameters()) * 4

    def size(window: int) -> int:
        return weights + 2 * (2 * window - 1) * 7 * 4

    cache = TableCache(max_bytes=size(3) + size(4))
    for window in (3, 4, 3):
        cache.table(cpb, (window, 4))
    assert cache.num_bytes == cache.max_bytes
    cache.table(cpb, (2, 4))  # smaller than (4, 4), which was used before (3, 4)
    assert [key[1] for key in cache._entries] == [(3, 4), (2, 4)]
    assert cache.num_bytes == size(3) + size(2) == sum(map(cache._size, cache._entries))
    for window in range(2, 40):
        cache.table(cpb, (window, 4))
        assert cache.num_bytes <= cache.max_bytes
    cache.table(cpb, (1000, 4))  # larger than the bound: given, not kept
    assert not cache._entries and cache.num_bytes == 0
    assert position_bias.TABLES.max_bytes == 64 << 20


def test_tables_of_inference_mode_serve_no_grad_and_are_not_trained_with(tables):
    model = tiny()
    image = torch.randn(1, 3, 32, 32)
    model.eval()
    with torch.inference_mode():
        model(image)
    with torch.no_grad():
        model(image)
    model.layers[0].blocks[0].attn.cpb_mlp.requires_grad_(False)
    sum(o.sum() for o in model(image)).backward()


def test_follows_training_under_ddp(tmp_path, tables):
    """Steps of a wrapped model show in the next evaluation."""
    import torch.distributed as dist

    dist.init_process_group('gloo', init_method=f'file://{tmp_path}/store', rank=0, world_size=1)
    try:
        model = tiny()
        wrapped = nn.parallel.DistributedDataParallel(model)
        optimizer = torch.optim.SGD(wrapped.parameters(), lr=0.5)
        image = torch.randn(1, 3, 32, 32)
        for _ in range(2):
            with torch.no_grad():
                outs = wrapped.eval()(image)
            fresh = copy.deepcopy(model).eval()
            with torch.no_grad():
                expected = fresh(image)
            for a, b in zip(outs, expected):
                assert torch.equal(a, b)
            optimizer.zero_grad()
            sum(o.square().mean() for o in wrapped.train()(image)).backward()
            optimizer.step()
    finally:
        dist.destroy_process_group()


@pytest.mark.cuda
@torch.no_grad()
def test_moving_to_another_device(tables):
    cpb = LogCPB(2, (4, 4))
    before = cpb((4, 4))
    assert cpb.cuda()((4, 4)).is_cuda
    assert torch.equal(cpb.cpu()((4, 4)), before)
