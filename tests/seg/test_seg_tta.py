"""Test-time augmentation in bands against mmseg's, which holds every view at full size."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope

pytest.importorskip('mmseg')

from mmengine.structures import PixelData
from mmseg.models import SegTTAModel
from mmseg.structures import SegDataSample
from mmseg.utils import register_all_modules
from segmentors import CLASSES, SLIDE, WHOLE, pair

from swinv2_dense.errors import ConfigError
from swinv2_dense.seg import TiledSegTTAModel
from swinv2_dense.seg import tiled_inference as tiled
from swinv2_dense.seg.test_options import use_seg_tta


@pytest.fixture(autouse=True)
def scope(monkeypatch) -> None:
    """mmseg's registries, and small bands."""
    monkeypatch.setattr(tiled, 'BAND', CLASSES * 250 * 5)
    with DefaultScope.overwrite_default_scope('mmseg'):
        register_all_modules(init_default_scope=False)
        yield


def augmented(images: torch.Tensor, scales: tuple, flips: tuple) -> dict:
    """What mmcv's TestTimeAug and the collate function give: a list over images per view."""
    data = dict(inputs=[], data_samples=[])
    for scale in scales:
        for direction in flips:
            views = F.interpolate(images, scale_factor=scale, mode='bilinear')
            axes = dict(horizontal=[3], vertical=[2]).get(direction)
            data['inputs'].append(list(views.flip(axes) if axes else views))
            meta = dict(
                ori_shape=images.shape[2:],
                img_shape=views.shape[2:],
                img_path='x.jpg',
                flip=direction is not None,
                flip_direction=direction,
            )
            data['data_samples'].append([SegDataSample(metainfo=meta) for _ in images])
    data['data_samples'][0][-1].gt_sem_seg = PixelData(data=torch.ones(1, *images.shape[2:]))
    return data


def in_fp64(model):
    """The model after a preprocessor that keeps fp64, in which no classes tie."""
    forward = model.data_preprocessor.forward

    def keep(data: dict, training: bool = False) -> dict:
        return {**forward(data, training), 'inputs': torch.stack(data['inputs'])}

    model.data_preprocessor.forward = keep
    return model


@pytest.mark.parametrize('test_cfg', [SLIDE, WHOLE])
@pytest.mark.parametrize('kind', ['TiledEncoderDecoder', 'EncoderDecoder'])
def test_labels_are_those_of_mmseg(test_cfg, kind):
    plain, ours = map(in_fp64, pair(test_cfg, kind))
    images = torch.randn(2, 3, 68, 84, dtype=torch.float64)
    views = (0.5, 1.0, 1.75), (None, 'horizontal', 'vertical')
    with torch.no_grad():
        expected = SegTTAModel(plain).test_step(augmented(images, *views))
        found = TiledSegTTAModel(ours).test_step(augmented(images, *views))
    assert len(found) == 2
    for a, b in zip(expected, found):
        assert len(a.pred_sem_seg.data.unique()) > 2
        assert torch.equal(b.pred_sem_seg.data, a.pred_sem_seg.data)
        assert b.img_path == 'x.jpg'
    assert [('gt_sem_seg' in sample) for sample in found] == [False, True]


def test_one_class_takes_the_mean_of_the_views_probabilities():
    """By hand: mmseg's model applies the sigmoid before its TTA model does so once more."""
    plain, ours = map(in_fp64, pair(WHOLE, num_classes=2, out_channels=1, threshold=0.45))
    images = torch.randn(1, 3, 68, 84, dtype=torch.float64)
    views = augmented(images, (1.0, 1.5), (None,))
    with torch.no_grad():
        (found,) = TiledSegTTAModel(ours).test_step(augmented(images, (1.0, 1.5), (None,)))
        single = [
            plain.predict(torch.stack(inputs), data)[0].seg_logits.data  # probabilities
            for inputs, data in zip(views['inputs'], views['data_samples'])
        ]
    expected = sum(single) / 2 > 0.45
    assert 0 < expected.double().mean() < 1
    assert torch.equal(found.pred_sem_seg.data, expected.long())


PACK = dict(type='PackSegInputs', meta_keys=('img_path', 'ori_shape', 'img_shape'))


def config(*steps: dict, **changes) -> ConfigDict:
    """A config with a test pipeline between loading and packing."""
    pipeline = [dict(type='LoadImageFromFile'), *steps, PACK]
    dataset = dict(type='BaseSegDataset', pipeline=pipeline)
    return ConfigDict(
        model=dict(type='TiledEncoderDecoder'),
        test_dataloader=dict(dataset=dict(type='RepeatDataset', dataset=dataset)),
        **changes,
    )


@pytest.mark.parametrize(
    'resize, sizes',
    [
        (dict(type='Resize', scale=(64, 60), keep_ratio=True), (24, 36, 48, 60, 72, 84)),
        (dict(type='mmseg.Resize', scale_factor=2.0), (60, 90, 120, 150, 180, 210)),
        (None, (30, 45, 60, 75, 90, 105)),
    ],
)
def test_views_of_a_test_pipeline(resize, sizes):
    """An image of 60 x 80 pixels: six heights, each unflipped and flipped."""
    cfg = config(*([resize] if resize else []))
    use_seg_tta(cfg)
    assert cfg.model == dict(type='TiledSegTTAModel', module=dict(type='TiledEncoderDecoder'))
    load, augment = cfg.test_dataloader.dataset.dataset.pipeline
    assert load.type == 'LoadImageFromFile'
    image = torch.randint(0, 256, (60, 80, 3), dtype=torch.uint8).numpy()
    given = dict(img=image, img_path='x.jpg', img_shape=(60, 80), ori_shape=(60, 80))
    views = Compose([augment])(given)
    shapes = [sample.img_shape[0] for sample in views['data_samples']]
    assert shapes == [size for size in sizes for _ in range(2)]
    assert [sample.flip for sample in views['data_samples']] == [False, True] * 6
    plain, flipped = views['inputs'][:2]
    assert torch.equal(flipped, plain.flip(2))
    assert views['data_samples'][1].flip_direction == 'horizontal'


def test_what_the_config_says_is_kept():
    """But mmseg's model cannot merge results without logits."""
    pipeline = [dict(type='LoadImageFromFile'), dict(type='TestTimeAug', transforms=[[PACK]])]
    cfg = config(tta_pipeline=pipeline, tta_model=dict(type='SegTTAModel'))
    use_seg_tta(cfg)
    assert cfg.test_dataloader.dataset.dataset.pipeline == pipeline
    assert cfg.model.type == 'TiledSegTTAModel'
    cfg = config(tta_model=dict(type='SegTTAModel', data_preprocessor=None))
    cfg.model.type = 'EncoderDecoder'
    use_seg_tta(cfg)
    assert cfg.model.type == 'SegTTAModel' and 'data_preprocessor' in cfg.model


def test_a_pipeline_without_one_plain_resize_needs_views_of_its_own():
    cfg = config(dict(type='ResizeShortestEdge', scale=512, max_size=2048))
    with pytest.raises(ConfigError, match='steps LoadImageFromFile, ResizeShortestEdge, PackSeg'):
        use_seg_tta(cfg)
