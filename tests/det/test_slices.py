"""Slices of large images: merged like by hand, and like no slices where one covers the image."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import InstanceData
from random_detectors import KINDS
from random_detectors import detector as random_detector
from torch import Tensor, nn

import swinv2_dense
from swinv2_dense.errors import ConfigError

pytest.importorskip('mmdet')
from mmdet.structures import DetDataSample  # noqa: E402
from mmdet.structures.mask import encode_mask_results  # noqa: E402

from swinv2_dense.det import SlicedDetector, large_masks  # noqa: E402
from swinv2_dense.det.slices import slices_of, survivors  # noqa: E402
from swinv2_dense.det.slices_config import split_pipeline  # noqa: E402
from swinv2_dense.transforms.crops import covering_spans  # noqa: E402

META = ('img_path', 'ori_shape', 'img_shape', 'scale_factor')
PIPELINE = [
    dict(type='Resize', scale=(128, 96), keep_ratio=True),
    dict(type='PackDetInputs', meta_keys=META),
]


def atss() -> nn.Module:
    """A detector with one stage."""
    cfg = Config.fromfile(swinv2_dense.config_path('_base_/models/atss.py')).model
    cfg.backbone.update(
        arch=dict(embed_dims=16, depths=(1, 1, 1, 1), num_heads=(1, 2, 4, 8)),
        window_size=4,
        init_cfg=None,
    )
    cfg.neck.update(in_channels=[32, 64, 128], out_channels=32)
    cfg.bbox_head.update(in_channels=32, feat_channels=32, stacked_convs=1, num_classes=6)
    cfg.bbox_head.norm_cfg.num_groups = 4
    cfg.test_cfg.update(score_thr=0.0, max_per_img=20)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg)
    for param in model.bbox_head.parameters():
        if param.ndim > 1:
            param.data.copy_(torch.randn_like(param) / math.sqrt(param[0].numel()))
    return model.eval()


@pytest.fixture(scope='module')
def models() -> dict[str, nn.Module]:
    kinds = [*KINDS, 'HTC without masks']
    return {**{kind: random_detector(kind) for kind in kinds}, 'ATSS': atss()}


def sliced(model: nn.Module, size: tuple, overlap: int, **settings: object) -> SlicedDetector:
    with DefaultScope.overwrite_default_scope('mmdet'):
        return SlicedDetector(model, size, overlap, PIPELINE, **settings).eval()


def image(height: int, width: int) -> Tensor:
    torch.manual_seed(1)
    noise = torch.rand(1, 3, max(2, height // 12), max(2, width // 12))
    big = nn.functional.interpolate(noise, (height, width), mode='bilinear')[0]
    return (big * 255).to(torch.uint8)


def predict(model: nn.Module, pixels: Tensor) -> InstanceData:
    sample = DetDataSample(metainfo=dict(img_path='a.jpg', ori_shape=tuple(pixels.shape[1:])))
    with torch.no_grad():
        (found,) = model.test_step(dict(inputs=[pixels], data_samples=[sample]))
    return found.pred_instances


def plain(model: nn.Module, pixels: Tensor) -> InstanceData:
    """The detector's own result for an image, or for a slice as an image."""
    array = np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())
    shape = tuple(pixels.shape[1:])
    with DefaultScope.overwrite_default_scope('mmdet'):
        from mmengine.dataset import Compose

        packed = Compose(copy.deepcopy(PIPELINE))(
            dict(img=array, img_path='a.jpg', img_shape=shape, ori_shape=shape)
        )
    data = dict(inputs=[packed['inputs']], data_samples=[packed['data_samples']])
    with torch.no_grad():
        return model.test_step(data)[0].pred_instances


@pytest.mark.parametrize('kind', [*KINDS, 'HTC without masks', 'ATSS'])
@pytest.mark.parametrize('size', [(72, 100), (500, 500)])
def test_one_slice_is_the_plain_result(models, kind, size):
    pixels = image(72, 100)
    expected, found = plain(models[kind], pixels), predict(sliced(models[kind], size, 9), pixels)
    assert len(expected) > 3 and set(found.keys()) == set(expected.keys())
    for key in ('bboxes', 'scores', 'labels', *(['masks'] if 'masks' in expected else [])):
        assert torch.equal(found[key], expected[key]), key


def by_hand(model: nn.Module, pixels: Tensor, slices: list[tuple], limit: int) -> list[tuple]:
    """Loops over slices, objects and pairs: (score, label, box, mask) after greedy NMS."""
    objects = []
    height, width = pixels.shape[1:]
    for left, top, right, bottom in slices:
        found = plain(model, pixels[:, top:bottom, left:right])
        for i in range(len(found)):
            box = found.bboxes[i].tolist()
            box = [box[0] + left, box[1] + top, box[2] + left, box[3] + top]
            mask = None
            if 'masks' in found:
                mask = np.zeros((height, width), bool)
                mask[top:bottom, left:right] = found.masks[i]
            objects.append((float(found.scores[i]), int(found.labels[i]), box, mask))
    objects.sort(key=lambda entry: -entry[0])
    kept: list[tuple] = []
    for entry in objects:
        if all(entry[1] != other[1] or iou(entry[2], other[2]) <= 0.5 for other in kept):
            kept.append(entry)
    return kept[:limit]


def iou(a: list, b: list) -> float:
    wide = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    high = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return wide * high / (sum(areas) - wide * high)


@pytest.mark.parametrize('kind', ['Mask R-CNN', 'HTC with semantic branch', 'ATSS'])
@pytest.mark.parametrize('batch_size', [1, 3])
def test_merging_is_that_of_plain_loops(models, kind, batch_size):
    """Without overlap, so that no object is dropped for lying in a neighbor."""
    model = copy.deepcopy(models[kind])
    cfg = model.test_cfg.get('rcnn', model.test_cfg)
    cfg.nms = ConfigDict(type='nms', iou_threshold=0.5)
    if 'roi_head' in dict(model.named_children()):
        model.roi_head.test_cfg.nms = cfg.nms
    pixels = image(144, 200)
    places = [(0, 0, 100, 72), (100, 0, 200, 72), (0, 72, 100, 144), (100, 72, 200, 144)]
    expected = by_hand(model, pixels, places, 4 * cfg.max_per_img)
    found = predict(sliced(model, (72, 100), 0, batch_size=batch_size), pixels)
    assert len(expected) > 20
    torch.testing.assert_close(
        found.scores, torch.tensor([e[0] for e in expected]), rtol=1e-4, atol=1e-5
    )
    for i, box in enumerate(found.bboxes.tolist()):  # equal scores may be in another order
        equal = [
            entry
            for entry in expected
            if entry[1] == found.labels[i] and abs(entry[0] - found.scores[i]) < 1e-4
        ]
        best = min(equal, key=lambda entry: np.abs(np.subtract(entry[2], box)).max())
        np.testing.assert_allclose(box, best[2], atol=1e-2)
        if best[3] is not None:
            assert (found.masks[i].numpy() ^ best[3]).sum() <= 0.02 * max(best[3].sum(), 100)


@pytest.mark.parametrize(
    'nms', [dict(type='nms', iou_threshold=0.5), dict(type='soft_nms', iou_threshold=0.5)]
)
@pytest.mark.parametrize('boxes_per_class', [True, False])
def test_a_second_nms_over_the_survivors_changes_nothing(nms, boxes_per_class):
    """So candidates can be reduced slice by slice, also where NMS decays scores."""
    from mmcv.ops import batched_nms
    from mmdet.models.layers import multiclass_nms

    torch.manual_seed(0)
    corners = torch.rand(300, (3 if boxes_per_class else 1) * 4) * 40
    boxes = corners.unflatten(1, (-1, 4))
    boxes[..., 2:] = boxes[..., :2] + 5 + boxes[..., 2:] / 2
    boxes, scores = boxes.flatten(1), torch.randn(300, 4).mul(2).softmax(1)
    for most in (7, 1000):
        cfg = ConfigDict(score_thr=0.05, nms=nms, max_per_img=most)
        dets, labels = multiclass_nms(boxes, scores, 0.05, cfg.nms, most)
        found = survivors(boxes, scores, cfg)
        again, kept = batched_nms(found.boxes, found.scores, found.labels, cfg.nms)
        assert len(dets) == len(found.labels) > 5
        torch.testing.assert_close(again, dets)
        assert torch.equal(found.labels[kept], labels)


class OneBox(nn.Module):
    """Finds the bright square of an image, as far as a slice shows it."""

    test_cfg = None

    def test_step(self, data: dict) -> list[DetDataSample]:
        for pixels, sample in zip(data['inputs'], data['data_samples']):
            rows, columns = (pixels[0] > 128).nonzero(as_tuple=True)
            boxes = torch.zeros(0, 4)
            if len(rows):
                corners = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
                boxes = torch.tensor([corners], dtype=torch.float32)
            scores, labels = torch.ones(len(boxes)), torch.zeros(len(boxes), dtype=torch.long)
            sample.pred_instances = InstanceData(bboxes=boxes, scores=scores, labels=labels)
        return data['data_samples']


def test_every_object_up_to_the_overlap_is_found_once():
    """At every place: on borders, in corners, in two or four slices."""
    with DefaultScope.overwrite_default_scope('mmdet'):
        pipeline = [dict(type='PackDetInputs', meta_keys=('ori_shape',))]
        model = SlicedDetector(OneBox(), (50, 50), 20, pipeline)
    rng = np.random.default_rng(0)
    for _ in range(100):
        height, width = rng.integers(1, 17, 2)  # up to the overlap, less what counts as near
        top, left = rng.integers(0, (120 - height, 140 - width))
        pixels = torch.zeros(3, 120, 140, dtype=torch.uint8)
        pixels[:, top : top + height, left : left + width] = 255
        found = predict(model, pixels).bboxes.tolist()
        expected = [left, top, left + width, top + height]
        assert expected in found
        assert all(iou(box, expected) > 0.4 for box in found), (expected, found)
        assert len(found) == 1, (expected, found)


def test_memory_does_not_grow_with_the_image(models, monkeypatch):
    """The detector sees slices of one size, and large masks are kept as run lengths."""
    shapes, detector = [], models['Mask R-CNN']
    handle = detector.backbone.register_forward_pre_hook(
        lambda m, args: shapes.append(args[0].shape)
    )
    small = predict(sliced(detector, (48, 64), 8, batch_size=2), image(72, 100))
    monkeypatch.setattr(large_masks, 'LARGEST', 72 * 100 - 1)
    model = sliced(detector, (48, 64), 8, batch_size=2)
    encoded = predict(model, image(72, 100))
    predict(model, image(150, 200))
    handle.remove()
    assert set(shapes) <= {(n, 3, 96, 128) for n in (1, 2)}
    assert encoded.masks == encode_mask_results(small.masks.numpy())
    model.encode = False
    assert isinstance(predict(model, image(72, 100)).masks, large_masks.CroppedMasks)


def test_spans_cover_an_axis():
    assert covering_spans(10, 4, 3) == [(0, 4), (3, 7), (6, 10)]
    assert covering_spans(11, 4, 3) == [(0, 4), (3, 7), (6, 10), (7, 11)]
    assert covering_spans(3, 4, 3) == [(0, 3)]
    for extent in range(1, 60):
        spans = covering_spans(extent, 10, 7)
        assert set().union(*(range(*span) for span in spans)) == set(range(extent))
        assert all(b[0] <= a[1] - 3 for a, b in zip(spans, spans[1:]))
    assert len(slices_of((100, 100), (50, 50), 10)) == 9


@pytest.mark.parametrize(
    'size, overlap, text',
    [
        ((0, 5), 0, '--slice (0, 5): give the height and width'),
        ((50, 60), 50, '--overlap=50 must be at least 0 and below both sides of --slice 50 60'),
        ((50, 60), -1, '--overlap=-1'),
    ],
)
def test_wrong_sizes(size, overlap, text):
    with pytest.raises(ConfigError) as error:
        SlicedDetector(OneBox(), size, overlap, [])
    assert str(error.value).startswith(text)


def test_annotations_belong_to_the_image_and_resizing_to_the_slices():
    load, resize, pack = (
        dict(type='LoadImageFromFile'),
        dict(type='Resize'),
        dict(type='PackDetInputs'),
    )
    annotate = dict(type='LoadAnnotations', with_bbox=True)
    steps = split_pipeline([load, resize, annotate, pack], 'test_dataloader.dataset')
    assert steps == ([load, annotate, pack], [resize, pack])
    with pytest.raises(ConfigError, match='must begin with loading the image and end in Pack'):
        split_pipeline([resize, pack], 'test_dataloader.dataset')
