"""Testing in bands gives mmseg's labels, with memory that does not grow with the image."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import DefaultScope

pytest.importorskip('mmseg')

from mmseg.models.decode_heads import UPerHead
from mmseg.models.utils import resize
from mmseg.structures import SegDataSample
from mmseg.utils import register_all_modules
from segmentors import CLASSES, SLIDE, WHOLE, labels_of, pair

from swinv2_dense.seg import tiled_inference as tiled

# Test configuration, size of the input, size of the original.
SIZES = {
    'windows that do not divide': (SLIDE, (101, 93), (101, 93)),
    'resized to a larger original': (SLIDE, (101, 93), (211, 187)),
    'resized to a smaller original': (SLIDE, (130, 75), (43, 29)),
    'smaller than a window': (SLIDE, (37, 33), (50, 41)),
    'smaller along one axis': (SLIDE, (37, 110), (64, 90)),
    'windows that touch': (dict(SLIDE, stride=(48, 40)), (96, 97), (96, 97)),
    'whole': (WHOLE, (75, 61), (75, 61)),
    'whole, resized': (WHOLE, (75, 61), (140, 97)),
}


@pytest.fixture(autouse=True)
def scope(monkeypatch) -> None:
    """mmseg's registries, and small bands."""
    monkeypatch.setattr(tiled, 'BAND', CLASSES * 250 * 5)  # 5 rows and more
    with DefaultScope.overwrite_default_scope('mmseg'):
        register_all_modules(init_default_scope=False)
        yield


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('test_cfg, size, ori_shape', SIZES.values(), ids=SIZES)
def test_labels_are_those_of_mmseg(test_cfg, size, ori_shape, align_corners):
    plain, ours = pair(test_cfg, align_corners=align_corners)
    image = torch.randn(1, 3, *size, dtype=torch.float64)
    expected = labels_of(plain, image, ori_shape=ori_shape, img_shape=size)
    found = labels_of(ours, image, ori_shape=ori_shape, img_shape=size)
    assert len(expected.unique()) > 2
    assert found.dtype == torch.long
    assert torch.equal(found, expected)


@pytest.mark.parametrize('test_cfg', [SLIDE, WHOLE])
@pytest.mark.parametrize('direction', [None, 'horizontal', 'vertical'])
def test_padding_and_flips_are_undone(test_cfg, direction):
    plain, ours = pair(test_cfg)
    image = torch.randn(2, 3, 96, 128, dtype=torch.float64)
    meta = dict(
        ori_shape=(131, 175),
        img_shape=(77, 101),
        pad_shape=(96, 128),
        img_padding_size=(9, 18, 5, 14),  # left, right, top, bottom
        flip=direction is not None,
        flip_direction=direction,
    )
    assert torch.equal(labels_of(ours, image, **meta), labels_of(plain, image, **meta))


def test_images_of_a_batch_have_originals_of_different_size():
    plain, ours = pair(SLIDE)
    image = torch.randn(2, 3, 64, 80, dtype=torch.float64)
    metas = [dict(ori_shape=(64, 80)), dict(ori_shape=(90, 120))]
    results = []
    for model in (plain, ours):
        data = [SegDataSample(metainfo=dict(meta, img_shape=(64, 80))) for meta in metas]
        with torch.no_grad():
            results.append([s.pred_sem_seg.data for s in model.predict(image, data)])
    for expected, found in zip(*results):
        assert torch.equal(found, expected)


def test_images_without_samples_keep_their_size():
    plain, ours = pair(SLIDE)
    image = torch.randn(2, 3, 64, 80, dtype=torch.float64)
    with torch.no_grad():
        expected, found = plain.predict(image), ours.predict(image)
    for a, b in zip(expected, found):
        assert torch.equal(b.pred_sem_seg.data, a.pred_sem_seg.data)


@pytest.mark.parametrize('test_cfg', [SLIDE, WHOLE])
def test_one_class_by_its_threshold(test_cfg):
    plain, ours = pair(test_cfg, num_classes=2, out_channels=1, threshold=0.4)
    image = torch.randn(1, 3, 64, 80, dtype=torch.float64)
    meta = dict(ori_shape=(90, 120), img_shape=(64, 80))
    expected, found = labels_of(plain, image, **meta), labels_of(ours, image, **meta)
    assert set(found.unique().tolist()) == {0, 1}
    assert torch.equal(found, expected.long())


class SigmoidHead(UPerHead):
    """A head that resizes in a way of its own, as Mask2Former's does."""

    def predict(self, inputs, batch_img_metas, test_cfg):
        logits = self(inputs).sigmoid()
        return resize(logits, batch_img_metas[0]['img_shape'], mode='bilinear').square()


@pytest.mark.parametrize('test_cfg', [SLIDE, WHOLE])
def test_a_head_with_its_own_resizing_is_left_to_it(test_cfg):
    plain, ours = pair(test_cfg)
    plain.decode_head.__class__ = ours.decode_head.__class__ = SigmoidHead
    image = torch.randn(1, 3, 64, 80, dtype=torch.float64)
    meta = dict(ori_shape=(90, 120), img_shape=(64, 80))
    assert torch.equal(labels_of(ours, image, **meta), labels_of(plain, image, **meta))


def test_a_window_is_computed_once(monkeypatch):
    _, ours = pair(SLIDE)
    seen = []
    monkeypatch.setattr(
        tiled, 'head_logits', lambda m, image, meta: seen.append(image) or image[:, :1].repeat(
            1, CLASSES, 1, 1
        )
    )  # fmt: skip
    image = torch.randn(1, 3, 101, 93, dtype=torch.float64)
    for direction in ('horizontal', 'vertical'):
        seen.clear()
        labels_of(ours, image, ori_shape=(101, 93), flip=True, flip_direction=direction)
        assert len(seen) == 3 * 3


def test_gaps_between_windows_are_an_error():
    _, ours = pair(dict(SLIDE, stride=(31, 41)))
    with pytest.raises(ValueError, match=r'stride=\(31, 41\) must be .* crop_size=\(48, 40\)'):
        labels_of(ours, torch.randn(1, 3, 101, 93).double(), ori_shape=(101, 93))


@pytest.mark.parametrize('cfg', [dict(mode='slide'), dict(SLIDE, crop_size=48)])
def test_windows_that_are_no_pairs_are_an_error(cfg):
    with pytest.raises(ValueError, match=r'crop_size=.* and stride=.* must be two numbers'):
        tiled.windows(cfg, (101, 93))


def test_logits_are_merged_in_fp32_under_autocast():
    _, ours = pair(SLIDE)
    image = torch.randn(1, 3, 101, 93)
    with torch.no_grad():
        expected = tiled.TiledView(ours.float(), image, dict(ori_shape=(90, 120))).rows(0, 90)
        with torch.autocast('cpu', torch.bfloat16):
            view = tiled.TiledView(ours, image, dict(ori_shape=(90, 120)))
            found = view.rows(0, 90)
    assert view.kept[53, 101][0].dtype == torch.bfloat16
    assert found.dtype == torch.float32
    assert not torch.equal(found, found.bfloat16().float())
    torch.testing.assert_close(found, expected, atol=0.05 * expected.abs().max().item(), rtol=0)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('align_corners', [False, True])
def test_rows_of_a_resized_map(align_corners, dtype):
    """In pieces of 7 rows, down to one row and up to a thousand."""
    atol = 3e-6 if dtype == torch.float32 else 1e-12
    for inside, outside in itertools.product((1, 3, 128, 1000), (1, 5, 511, 1000)):
        x = torch.randn(2, inside, 13, dtype=dtype)
        expected = F.interpolate(x[None], (outside, 29), None, 'bilinear', align_corners)[0]
        for start in range(0, outside, 7):
            stop = min(start + 7, outside)
            sources = tiled.row_sources((inside, outside), start, stop, align_corners, dtype)
            rows = tiled.resize_rows(x[:, sources.first : sources.last], sources, 29, align_corners)
            torch.testing.assert_close(rows, expected[:, start:stop], atol=atol, rtol=0)
