"""Test-time augmentation with masks, and HTC's ensemble of mask heads."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import MODELS, DefaultScope
from random_detectors import KINDS, config, detector
from torch import Tensor, nn

from swinv2_dense.errors import ConfigError

pytest.importorskip('mmdet')
from mmdet.models.roi_heads import HybridTaskCascadeRoIHead  # noqa: E402
from mmdet.structures import DetDataSample  # noqa: E402

from swinv2_dense.det import InstanceSegTTAModel, keep_borders_in_fp32  # noqa: E402
from swinv2_dense.det.tta import gate
from swinv2_dense.det.views import into_frame, into_view  # noqa: E402

FLIPS = dict(horizontal=(2,), vertical=(1,), diagonal=(1, 2))  # axes of an image (3, H, W)
SIZES = [(96, 120), (72, 128)]  # of the first view, in pixels; no multiples of 32
EVERYTHING = (0.0, math.inf)


@pytest.fixture(scope='module', params=KINDS)
def model(request) -> nn.Module:
    return detector(request.param)


@pytest.fixture(scope='module')
def htc() -> nn.Module:
    return detector('HTC with semantic branch')


@pytest.fixture
def images() -> list[Tensor]:
    """Blobs of color, whose sizes differ."""
    noise = [torch.rand(1, 3, 9, 12) for _ in SIZES]
    big = [nn.functional.interpolate(n, s, mode='bilinear')[0] for n, s in zip(noise, SIZES)]
    return [(image * 255).to(torch.uint8) for image in big]


def view(images: list[Tensor], direction: str | None = None, scale: float = 1.0) -> dict:
    """One view of images that are twice as large as their originals, before `scale`."""
    inputs, samples = [], []
    for image in images:
        height, width = image.shape[1:]
        shape = (round(height * scale), round(width * scale))
        if scale != 1:
            image = nn.functional.interpolate(image[None].float(), shape)[0].to(torch.uint8)
        if direction:
            image = image.flip(FLIPS[direction])
        inputs.append(image)
        meta = dict(
            ori_shape=(height // 2, width // 2),
            img_shape=shape,
            scale_factor=(2 * shape[1] / width, 2 * shape[0] / height),
            flip=direction is not None,
            flip_direction=direction,
        )
        samples.append(DetDataSample(metainfo=meta))
    return dict(inputs=inputs, data_samples=samples)


def predict(tta: InstanceSegTTAModel | nn.Module, *views: dict) -> list[ConfigDict]:
    """Predictions by image of several views, or, of the detector itself, of one."""
    data = copy.deepcopy(views)
    data = {k: [v[k] for v in data] for k in data[0]} if hasattr(tta, 'tta_cfg') else data[0]
    with torch.no_grad():
        return [sample.pred_instances for sample in tta.test_step(data)]


def assert_same(actual: list, expected: list) -> None:
    for a, b in zip(actual, expected, strict=True):
        keys = {'bboxes', 'scores', 'labels', 'masks'}
        assert set(a.keys()) == set(b.keys()) == keys
        for key in keys:
            assert a[key].dtype == b[key].dtype and torch.equal(a[key], b[key]), key


def mirrored(boxes: Tensor, direction: str, height: int, width: int) -> Tensor:
    x1, y1, x2, y2 = boxes.unbind(1)
    if direction != 'vertical':
        x1, x2 = width - x2, width - x1
    if direction != 'horizontal':
        y1, y2 = height - y2, height - y1
    return torch.stack([x1, y1, x2, y2], 1)


def assert_mirrored(actual: list, expected: list, direction: str) -> None:
    """Equal up to rounding; of masks, but for pixels where a probability is just 0.5."""
    for a, b in zip(actual, expected, strict=True):
        height, width = a.masks.shape[1:]
        boxes = mirrored(b.bboxes, direction, height, width)
        torch.testing.assert_close(a.bboxes, boxes, atol=1e-3, rtol=0)
        torch.testing.assert_close(a.scores, b.scores, atol=1e-4, rtol=0)
        assert torch.equal(a.labels, b.labels)
        assert (a.masks == b.masks.flip(FLIPS[direction])).float().mean() > 0.9999
        assert a.masks.any()


def test_one_unflipped_view_is_plain_testing(model, images):
    plain = predict(model, view(images))
    assert all(len(result) > 5 and len(result.labels.unique()) > 1 for result in plain)
    filled = [result.masks.sum((1, 2)) / sides(result) ** 2 for result in plain]
    assert 0.02 < torch.cat(filled).mean() < 0.98
    assert_same(predict(InstanceSegTTAModel(model), view(images)), plain)


def test_one_unflipped_view_is_plain_testing_in_bf16(images):
    model = detector('HTC with semantic branch')
    keep_borders_in_fp32(model)
    with torch.autocast('cpu', torch.bfloat16):
        plain = predict(model, view(images))
        assert_same(predict(InstanceSegTTAModel(model), view(images)), plain)
    assert plain[0].bboxes.dtype == torch.float32


@pytest.mark.parametrize('direction', FLIPS)
def test_a_flipped_view_of_a_mirrored_image_is_its_mirror(model, images, direction):
    tta = InstanceSegTTAModel(model)
    mirror = [image.flip(FLIPS[direction]) for image in images]
    plain = predict(model, view(images))
    assert_mirrored(predict(tta, view(mirror, direction)), plain, direction)


@pytest.mark.parametrize('direction', FLIPS)
def test_both_views_of_a_mirrored_image_are_the_mirror_of_both(htc, images, direction):
    tta = InstanceSegTTAModel(htc)
    mirror = [image.flip(FLIPS[direction]) for image in images]
    both = predict(tta, view(images), view(images, direction))
    assert_mirrored(predict(tta, view(mirror), view(mirror, direction)), both, direction)
    assert not torch.equal(both[0].scores, predict(htc, view(images))[0].scores)


@pytest.mark.parametrize(
    'direction, box',
    [
        (None, [20.0, 30, 60, 75]),
        ('horizontal', [140.0, 30, 180, 75]),
        ('vertical', [20.0, 45, 60, 90]),
        ('diagonal', [140.0, 45, 180, 90]),
    ],
)
def test_boxes_change_frames_as_by_hand(direction, box):
    """(10, 20, 30, 50) in an original of 100 x 80 pixels; x and y scaled differently."""
    meta = dict(
        img_shape=(120, 200),
        scale_factor=(2.0, 1.5),
        flip=direction is not None,
        flip_direction=direction,
    )
    frame = dict(img_shape=(40, 150), scale_factor=(1.5, 0.5), flip=True, flip_direction='vertical')
    by_class = torch.tensor([box + box])
    expected = torch.tensor([[15.0, 10, 45, 25] * 2])
    assert torch.equal(into_frame(by_class, meta, frame), expected)
    assert torch.equal(into_view(expected, meta, frame), by_class)


def test_scores_are_gated_as_by_hand():
    """Boxes of 10 x 40 (side 20), 30 x 30 and 40 x 40 original pixels, seen twice as wide."""
    boxes = torch.tensor([[0.0, 0, 20, 40], [0, 0, 60, 30], [0, 0, 80, 40]])
    scores = torch.tensor([[0.1, 0.2, 0.7], [0.3, 0.4, 0.3], [0.5, 0.4, 0.1]])
    meta = dict(scale_factor=(2.0, 1.0))
    low = -math.inf
    agnostic = gate(scores, boxes, (20.0, 30.0), meta)
    assert agnostic.tolist() == torch.tensor([scores[0].tolist(), [low, low, 0.3], [low, low, 0.1]]
                                             ).tolist()  # fmt: skip
    by_class = gate(scores[:1], torch.cat([boxes[:1], boxes[1:2]], 1), (30.0, 99.0), meta)
    assert by_class.tolist() == torch.tensor([[low, 0.2, 0.7]]).tolist()
    assert gate(scores, boxes, None, meta) is scores


def sides(result: ConfigDict) -> Tensor:
    return (result.bboxes[:, 2:] - result.bboxes[:, :2]).prod(1).sqrt()


def test_adjoining_size_ranges_count_every_box_once(model, images):
    plain = predict(model, view(images))
    middle = sides(plain[0]).median().item()
    tta = InstanceSegTTAModel(model, size_ranges=[(0, middle), (middle, math.inf)])
    merged = predict(tta, view(images), view(images))
    for a, b in zip(merged, plain, strict=True):
        assert torch.equal(a.scores, b.scores) and torch.equal(a.bboxes, b.bboxes)
        assert torch.equal(a.masks, b.masks)
    small = predict(InstanceSegTTAModel(model, size_ranges=[(0, middle)]), view(images))
    for result in small:
        assert len(result) > 0
        assert (sides(result) < middle + 1e-4).all()


def test_a_size_range_for_each_scale(htc, images):
    views = [view(images), view(images, 'horizontal'), view(images, scale=1.25)]
    views += [view(images, 'horizontal', scale=1.25)]
    by_scale = InstanceSegTTAModel(htc, size_ranges=[(0, 14), None])
    by_view = InstanceSegTTAModel(htc, size_ranges=[(0, 14), (0, 14), EVERYTHING, None])
    assert_same(predict(by_scale, *views), predict(by_view, *views))
    with pytest.raises(ConfigError, match='size_ranges has 2 entries for 3 views'):
        predict(by_scale, *views[:3])


def test_boxes_of_all_views_meet_in_one_nms(model, images):
    """Without suppression every box of every view is left, where it lay in its view."""
    lowest = min(result.scores.min().item() for result in predict(model, view(images)))
    cfg = dict(nms=dict(type='nms', iou_threshold=1.0), score_thr=lowest, max_per_img=-1)
    tta = InstanceSegTTAModel(model, cfg)
    views = [view(images), view(images, 'horizontal', 1.25), view(images, 'vertical', 0.8)]
    merged = predict(tta, *views)
    alone = [predict(tta, one) for one in views]  # each in its own frame, so unscaled and unflipped
    for i, result in enumerate(merged):
        boxes = torch.cat([a[i].bboxes for a in alone])
        scores = torch.cat([a[i].scores for a in alone])
        assert len(result) == len(boxes) > len(alone[0][i]) > 0
        order = scores.argsort(descending=True, stable=True)
        torch.testing.assert_close(result.scores, scores[order])
        torch.testing.assert_close(result.bboxes, boxes[order], atol=1e-3, rtol=0)


def test_masks_are_averaged_over_views_and_stages(htc, images, monkeypatch):
    """Against a loop over views, boxes and mask heads."""
    seen = {}
    mask_head = htc.roi_head.mask_head[-1]

    def paste(masks, results, *args, **kwargs):
        seen.update(masks=masks, boxes=[result.bboxes.clone() for result in results])
        return type(mask_head).predict_by_feat(mask_head, masks, results, *args, **kwargs)

    monkeypatch.setattr(mask_head, 'predict_by_feat', paste)
    settings = [(None, 1.0), ('horizontal', 1.0), ('diagonal', 1.25)]
    views = [view(images, direction, scale) for direction, scale in settings]
    predict(InstanceSegTTAModel(htc), *views)
    for i, (boxes, masks) in enumerate(zip(seen['boxes'], seen['masks'])):
        expected = torch.zeros_like(masks)
        for (direction, scale), one in zip(settings, views):
            data = htc.data_preprocessor(copy.deepcopy(one))
            height, width = one['inputs'][i].shape[1:]
            moved = boxes * scale
            moved = mirrored(moved, direction, height, width) if direction else moved
            for n, box in enumerate(moved):
                for probabilities in plain_masks(htc, data['inputs'], i, box):
                    axes = FLIPS.get(direction, ())
                    expected[n] += probabilities.flip(axes) / 9  # 3 views of 3 stages
        torch.testing.assert_close(masks, expected, atol=1e-4, rtol=0)


@torch.no_grad()
def plain_masks(model: nn.Module, images: Tensor, index: int, box: Tensor) -> list[Tensor]:
    """The probabilities (C, h, w) of every stage for one box of one image of a batch."""
    head = model.roi_head
    maps = model.extract_feat(images)
    roi = torch.cat([torch.tensor([float(index)]), box])[None]
    feats = head.mask_roi_extractor[0](maps[: head.mask_roi_extractor[0].num_inputs], roi)
    semantic = head.semantic_roi_extractor([head.semantic_head(maps)[1]], roi)
    feats = feats + nn.functional.adaptive_avg_pool2d(semantic, feats.shape[-2:])
    last, stages = None, []
    for mask_head in head.mask_head:
        logits, last = mask_head(feats, last)
        stages.append(logits[0].sigmoid())
    return stages


@pytest.mark.parametrize('semantic', [True, False])
@pytest.mark.parametrize('flow', [True, False])
def test_htc_tests_with_the_mask_heads_of_all_stages(semantic, flow):
    """Against mmdet's own forward for training, which computes one stage."""
    model = detector('HTC with semantic branch' if semantic else 'HTC')
    head = model.roi_head
    head.mask_info_flow = flow
    with torch.no_grad():
        maps = model.extract_feat(torch.randn(1, 3, 64, 96))
        feature = head.semantic_head(maps)[1] if semantic else None
        rois = torch.tensor([[0.0, 4, 8, 40, 50], [0, 30, 10, 90, 60]])
        stages = head._mask_forward(-1, maps, rois, semantic_feat=feature, training=False)
        expected = [
            HybridTaskCascadeRoIHead._mask_forward(head, i, maps, rois, feature)['mask_preds']
            for i in range(3)
        ]
    assert not torch.allclose(expected[0], expected[2])
    for actual, wanted in zip(stages['mask_preds'], expected, strict=True):
        torch.testing.assert_close(actual, wanted)
    assert not any(mask_head._forward_hooks for mask_head in head.mask_head)


def test_images_without_detections(model, images):
    """None at all; in one image only; and no proposals in one view."""
    none = predict(InstanceSegTTAModel(model, dict(score_thr=1.0)), view(images))
    for result, image in zip(none, images):
        assert result.bboxes.shape == (0, 4) and result.labels.dtype == torch.long
        assert result.masks.shape == (0, image.shape[1] // 2, image.shape[2] // 2)
    best = [result.scores.max().item() for result in predict(model, view(images))]
    assert best[0] != best[1]
    some = predict(InstanceSegTTAModel(model, dict(score_thr=sum(best) / 2)), view(images))
    assert [len(result) > 0 for result in some] == [score > sum(best) / 2 for score in best]
    assert some[0].masks.shape[1:] != some[1].masks.shape[1:]


def test_a_view_without_proposals_adds_no_boxes(model, images, monkeypatch):
    plain = predict(model, view(images))
    given = model.rpn_head.predict
    calls = []

    def no_proposals_at_first(*args, **kwargs):
        calls.append(1)
        return [result[:0] if len(calls) == 1 else result for result in given(*args, **kwargs)]

    monkeypatch.setattr(model.rpn_head, 'predict', no_proposals_at_first)
    merged = predict(InstanceSegTTAModel(model), view(images), view(images))
    assert_same(merged, plain)


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(flip=None, flip_direction=None), 'needs flip, flip_direction of every view: add'),
        (dict(scale_factor=None), 'needs scale_factor of every view'),
        (dict(img_shape=(96, 128)), r'img_shape=\(96, 128\) of a flipped view is not ori_shape'),
    ],
)
def test_views_that_cannot_be_mapped_are_refused(htc, images, change, message):
    data = view(images, 'horizontal')
    sample = data['data_samples'][0]
    kept = {k: change.get(k, v) for k, v in sample.metainfo.items() if change.get(k, v) is not None}
    data['data_samples'][0] = DetDataSample(metainfo=kept)
    with pytest.raises(ConfigError, match=message):
        predict(InstanceSegTTAModel(htc), data)


def test_a_pipeline_of_one_view_is_refused(htc, images):
    with pytest.raises(ConfigError, match='end it in TestTimeAug'):
        InstanceSegTTAModel(htc).test_step(view(images))


@pytest.mark.parametrize(
    'settings, message',
    [
        (dict(tta_cfg=dict(iou_thr=0.5)), r"takes score_thr, nms, max_per_img, not \['iou_thr'\]"),
        (dict(size_ranges=[None, (96, 32)]), r'size_ranges: \(96, 32\) must be None or \(low'),
    ],
)
def test_wrong_settings_are_refused(htc, settings, message):
    with pytest.raises(ConfigError, match=message):
        InstanceSegTTAModel(htc, **settings)


def test_other_detectors_are_refused():
    """Through the registry too, which must keep the kind of error."""
    cfg = config('Mask R-CNN')
    del cfg.roi_head['mask_head'], cfg.roi_head['mask_roi_extractor']
    cfg.type = 'FasterRCNN'
    message = r'not for a FasterRCNN \(roi_head: StandardRoIHead\); for boxes alone'
    with (
        DefaultScope.overwrite_default_scope('mmdet'),
        pytest.raises(ConfigError, match=message),
    ):
        MODELS.build(dict(type='InstanceSegTTAModel', module=cfg))
