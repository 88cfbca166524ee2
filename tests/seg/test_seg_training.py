"""Training of a UperNet: accumulated gradients, and SyncBN in one process without a GPU."""

from __future__ import annotations

import copy

import pytest
import torch
from mmengine.registry import OPTIM_WRAPPERS, DefaultScope
from mmengine.structures import PixelData

pytest.importorskip('mmseg')

from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import register_all_modules
from segmentors import CLASSES, upernet


@pytest.fixture(autouse=True)
def scope() -> None:
    with DefaultScope.overwrite_default_scope('mmseg'):
        register_all_modules(init_default_scope=False)
        yield


def batch(count: int) -> tuple[torch.Tensor, list[SegDataSample]]:
    """Images and maps with ignored pixels, more of them in each image."""
    images = torch.randn(count, 3, 48, 64, dtype=torch.float64)
    labels = torch.randint(0, CLASSES, (count, 1, 48, 64))
    samples = []
    for i in range(count):
        labels[i, :, : 4 * i] = 255
        samples.append(SegDataSample(gt_sem_seg=PixelData(data=labels[i])))
    return images, samples


def loss_of(model, images, samples) -> torch.Tensor:
    return model.parse_losses(model.loss(images, samples))[0]


def test_accumulated_gradients_are_those_of_the_large_batch():
    """Two of two images or four at once: the same step. GN, as BN sees each batch by itself."""
    model = MODELS.build(upernet()).double().train()
    accumulating = copy.deepcopy(model)
    images, samples = batch(4)
    for trained, sizes in ((model, (4,)), (accumulating, (2, 2))):
        optimizer = torch.optim.SGD(trained.parameters(), lr=1.0)
        cfg = dict(type='OptimWrapper', optimizer=optimizer, accumulative_counts=len(sizes))
        wrapper = OPTIM_WRAPPERS.build(cfg)
        wrapper.initialize_count_status(trained, 0, len(sizes))
        start = 0
        for size in sizes:
            part = slice(start, start + size)
            with wrapper.optim_context(trained):
                loss = loss_of(trained, images[part], samples[part])
            wrapper.update_params(loss)
            start += size
    before = dict(upernet_parameters())
    moved = 0
    for (name, a), b in zip(model.named_parameters(), accumulating.parameters()):
        torch.testing.assert_close(b, a, atol=1e-12, rtol=1e-9, msg=name)
        moved += not torch.equal(a, before[name])
    assert moved > 50


def upernet_parameters():
    """The parameters as they were, by the same seed."""
    torch.manual_seed(0)
    return MODELS.build(upernet()).double().named_parameters()


def test_sync_bn_is_bn_in_one_process_on_the_cpu():
    models = []
    for norm in ('BN', 'SyncBN'):
        torch.manual_seed(0)
        models.append(MODELS.build(upernet(norm_cfg=dict(type=norm))).double().train())
    plain, synced = models
    assert any(isinstance(m, torch.nn.SyncBatchNorm) for m in synced.modules())
    images, samples = batch(2)
    losses = [loss_of(model, images, samples) for model in models]
    assert torch.equal(losses[0], losses[1])
    for loss in losses:
        loss.backward()
    for (name, a), (_, b) in zip(plain.named_parameters(), synced.named_parameters()):
        assert torch.equal(a.grad, b.grad), name
