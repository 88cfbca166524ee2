"""Mistakes that would crash a run after its start are reported before it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import METRICS
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler

from swinv2_dense.checks.batch_norm import CheckBatchNormHook, norms_of_one_value
from swinv2_dense.checks.loaders import check_loaders
from swinv2_dense.checks.metric_names import check_metric_names, metric_names
from swinv2_dense.errors import ConfigError
from swinv2_dense.resilience.data_order import IndexedBatchSampler

COCO = dict(type='CocoMetric', metric=['bbox', 'segm'])
IOU = dict(type='mmseg.IoUMetric', iou_metrics=['mIoU', 'mFscore'])
TOP = dict(type='AccMetric', metric_options=dict(top_k_accuracy=dict(topk=(1, 3))))


def config(evaluator: object, **checkpoint: object) -> dict:
    return dict(val_evaluator=evaluator, default_hooks=dict(checkpoint=checkpoint))


@pytest.mark.parametrize(
    ('evaluator', 'name', 'nearest'),
    [
        (COCO, 'bbox_mAP', 'coco/bbox_mAP'),
        (COCO, 'coco/bbox_map_50', 'coco/bbox_mAP_50'),
        (dict(type='CocoMetric'), 'coco/segm_mAP', 'coco/bbox_mAP'),
        (dict(COCO, prefix='mine'), 'coco/segm_mAP', 'mine/segm_mAP'),
        (dict(COCO, metric_items=['mAP']), 'coco/bbox_mAP_75', 'coco/bbox_mAP'),
        (dict(type='CocoMetric', metric='proposal_fast'), 'coco/AR@10', 'coco/AR@100'),
        (IOU, 'mIOU', 'mIoU'),
        (IOU, 'mDice', 'mFscore'),
        (TOP, 'acc/top5', 'acc/top3'),
        (TOP, 'top1', 'acc/top1'),
        ([IOU, COCO], 'segm_mAP', 'coco/segm_mAP'),
    ],
)
def test_a_metric_that_the_validation_does_not_report(evaluator, name, nearest):
    for cfg in (
        config(evaluator, save_best=name),
        config(evaluator, save_best=['auto', name]),
        dict(
            val_evaluator=evaluator,
            custom_hooks=[dict(type='X'), dict(type='EarlyStoppingHook', monitor=name)],
        ),
    ):
        with pytest.raises(ConfigError) as error:
            check_metric_names(cfg)
        key = 'custom_hooks[1].monitor' if 'custom_hooks' in cfg else 'checkpoint.save_best'
        assert f'{key}={name!r}' in str(error.value)
        assert f'the nearest is {nearest!r}' in str(error.value)


@pytest.mark.parametrize(
    ('evaluator', 'save_best'),
    [
        (COCO, 'auto'),
        (COCO, None),
        (COCO, ['coco/bbox_mAP', 'coco/segm_mAP_50']),
        (IOU, 'mIoU'),
        (TOP, 'acc/top3'),
        (dict(type='MineMetric'), 'anything accurate'),
        ([COCO, dict(type='MineMetric')], 'mine/top'),
        (dict(COCO, classwise=True), 'coco/cat_precision'),
        (None, 'mIoU'),
    ],
)
def test_reported_and_unknown_metrics_pass(evaluator, save_best):
    check_metric_names(config(evaluator, save_best=save_best))


def test_a_metric_without_a_known_direction():
    with pytest.raises(ConfigError, match="checkpoint.rule='greater'"):
        check_metric_names(config(IOU, save_best='mFscore'))
    check_metric_names(config(IOU, save_best='mFscore', rule='greater'))
    check_metric_names(config(IOU, save_best='mFscore', greater_keys=['mFscore']))


def test_the_names_are_those_that_the_libraries_report():
    """IoUMetric and AccMetric on two samples."""
    pytest.importorskip('mmseg.evaluation')
    metric = METRICS.build(dict(IOU))
    metric.dataset_meta = dict(classes=('a', 'b'))
    maps = torch.tensor([[0, 1]])
    parts = metric.intersect_and_union(maps, maps, 2, 255)
    found = metric.compute_metrics([parts])
    assert set(metric_names(IOU)) == set(found)
    pytest.importorskip('mmaction.evaluation')
    metric = METRICS.build(dict(TOP, type='mmaction.AccMetric'))
    scores = [dict(pred=torch.eye(4)[i].numpy(), label=i) for i in range(4)]
    found = metric.compute_metrics(scores)
    assert set(metric_names(TOP)) == {f'acc/{name}' for name in found}


@pytest.mark.parametrize(
    ('settings', 'key'),
    [
        (dict(num_workers=0, persistent_workers=True), 'persistent_workers=True'),
        (dict(persistent_workers=True), 'persistent_workers=True'),
        (dict(num_workers=0, prefetch_factor=2), 'prefetch_factor=2'),
        (dict(num_workers=0, multiprocessing_context='fork'), 'multiprocessing_context='),
        (dict(num_workers=-1), 'num_workers=-1'),
        (dict(batch_size=0), 'batch_size=0'),
        (dict(batch_size=1.5), 'batch_size=1.5'),
    ],
)
def test_loader_settings_that_torch_rejects(settings, key):
    with pytest.raises((ValueError, TypeError)):  # the premise
        next(iter(DataLoader([1, 2], **settings)))
    for name in ('train', 'val', 'test'):
        with pytest.raises(ConfigError, match=f'{name}_dataloader.{key}'):
            check_loaders({f'{name}_dataloader': settings}, ('train', 'val', 'test'))
    check_loaders(dict(val_dataloader=settings), ('train',))
    fine = dict(num_workers=0, persistent_workers=False, prefetch_factor=None)
    check_loaders(dict(val_dataloader=fine, train_dataloader=None), ('train', 'val'))


class Pooled(nn.Module):
    def __init__(self, norm: nn.Module, pool: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        self.psp = nn.ModuleList([nn.Sequential(pool, nn.Sequential(nn.Conv2d(4, 4, 1), norm))])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.psp[0](self.body(x))


def fails(model: nn.Module, batch: int) -> bool:
    """Whether torch rejects a batch."""
    try:
        model(torch.rand(batch, 3, 8, 8))
    except ValueError:
        return True
    return False


@pytest.mark.parametrize(
    ('norm', 'pool', 'expected'),
    [
        (nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), True),
        (nn.BatchNorm2d(4), nn.AdaptiveMaxPool2d((1, 1)), True),
        (nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(2), False),
        (nn.GroupNorm(2, 4), nn.AdaptiveAvgPool2d(1), False),
        (nn.BatchNorm2d(4).eval(), nn.AdaptiveAvgPool2d(1), False),
    ],
)
def test_batch_norm_of_one_value(norm, pool, expected):
    model = Pooled(norm, pool)
    assert fails(model, 1) is expected and not fails(model, 2)
    assert list(norms_of_one_value(model)) == ['psp.0.1.1'] * expected
    for samples, batch, drop_last, endless in (
        (7, 1, False, True),
        (7, 2, False, False),  # the last batch of an epoch has one
        (1, 4, False, False),
        (7, 2, True, False),
        (8, 2, False, False),
        (7, 2, False, True),
    ):
        batches = BatchSampler(RandomSampler(range(samples)), batch, drop_last)
        smallest = batch if endless else min(map(len, batches))
        loader = SimpleNamespace(batch_sampler=IndexedBatchSampler(batches, endless))
        runner = SimpleNamespace(model=model, train_loop=SimpleNamespace(dataloader=loader))
        if expected and smallest == 1:
            with pytest.raises(ConfigError, match=r'model.psp.0.1.1 is batch norm'):
                CheckBatchNormHook().before_train(runner)
        else:
            CheckBatchNormHook().before_train(runner)


def test_the_modules_of_mmseg():
    heads = pytest.importorskip('mmseg.models.decode_heads')
    from mmengine.registry import DefaultScope

    with DefaultScope.overwrite_default_scope('mmseg'):
        _check_modules(heads)


def _check_modules(heads) -> None:
    sizes = dict(in_channels=[4, 4], in_index=[0, 1], channels=4, num_classes=2, num_convs=1)
    sizes.pop('num_convs')
    for norm, expected in (('BN', 1), ('SyncBN', 1), ('GN', 0)):
        norm_cfg = dict(type=norm, num_groups=2) if norm == 'GN' else dict(type=norm)
        head = heads.UPerHead(**sizes, norm_cfg=norm_cfg, pool_scales=(1, 2))
        found = list(norms_of_one_value(head))
        assert len(found) == expected and all(name.startswith('psp_modules.0.') for name in found)
    aspp = heads.ASPPHead(in_channels=4, channels=4, num_classes=2, norm_cfg=dict(type='BN'))
    assert [name.split('.')[0] for name in norms_of_one_value(aspp)] == ['image_pool']
