"""The whole Plain-DETR: losses by brute force, independence of the batch, bf16, bad input."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from tiny_plain_detr import CLASSES, build_plain_detr, padded, sample, two_images
from torch.testing import assert_close

pytest.importorskip('mmdet')
from swinv2_dense.det import keep_borders_in_fp32  # noqa: E402
from swinv2_dense.errors import ConfigError  # noqa: E402

both_forms = pytest.mark.parametrize('pixels', [False, True], ids=['fractions', 'pixels'])


@both_forms
def test_an_image_has_the_same_outputs_and_losses_alone_and_in_a_padded_batch(pixels):
    model, (images, samples) = build_plain_detr(pixels), two_images()
    model.train()
    counts = [len(s.gt_instances) for s in samples]
    with torch.no_grad():
        together = model.loss(padded(images), samples)
        alone = [model.loss(image[None], [s]) for image, s in zip(images, samples)]
    for name, value in together.items():
        expected = sum(n * losses[name] for n, losses in zip(counts, alone)) / sum(counts)
        assert_close(value, expected, atol=1e-5, rtol=1e-5, msg=lambda m, n=name: f'{n}: {m}')
    model.eval()
    with torch.no_grad():
        batch = model(padded(images), samples, mode='tensor')
        for i, (image, s) in enumerate(zip(images, samples)):
            for layer, found in zip(batch, model(image[None], [s], mode='tensor')):
                assert_close(layer.scores[i], found.scores[0], atol=1e-5, rtol=1e-5)
                scale = max(image.shape) if pixels else 1  # boxes are in pixels
                assert_close(layer.boxes[i], found.boxes[0], atol=1e-5 * scale, rtol=1e-5)
        together = model(padded(images), samples, mode='predict')
        boxes = [s.pred_instances.bboxes.clone() for s in together]
        for image, s, expected in zip(images, samples, boxes):
            model(image[None], [s], mode='predict')
            assert_close(s.pred_instances.bboxes, expected, atol=1e-3, rtol=1e-5)


def test_without_masks_the_batch_would_matter():
    """The images of the test above differ in a batch that is taken for whole images."""
    model, (images, samples) = build_plain_detr().eval(), two_images()
    with torch.no_grad():
        batch = model(padded(images), None, mode='tensor')[-1].scores
        alone = model(images[0][None], [samples[0]], mode='tensor')[-1].scores
    assert (batch[:1] - alone).abs().max() > 1e-3


def giou(a: list, b: list) -> float:
    """Of two boxes (x1, y1, x2, y2)."""
    area = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    sides = [min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1)]
    common = max(sides[0], 0) * max(sides[1], 0)
    union = sum(area) - common
    hull = math.prod(max(a[i + 2], b[i + 2]) - min(a[i], b[i]) for i in (0, 1))
    return common / union - (hull - union) / hull


def focal(logit: float, positive: bool) -> float:
    p = 1 / (1 + math.exp(-logit))
    if positive:
        return -0.25 * (1 - p) ** 2 * math.log(p)
    return -0.75 * p**2 * math.log(1 - p)


@both_forms
def test_losses_of_a_layer_equal_a_brute_force_matching(pixels):
    """Costs 2, 5 (or 1) and 2 of section 5.1; every assignment of 2 objects to 4 queries."""
    model = build_plain_detr(pixels, num_queries=4, num_one_to_many=0).train()
    height, width = 100, 140
    boxes, labels = [[10, 20, 90, 80], [60, 5, 135, 60]], [1, 4]
    objects = sample((height, width), boxes, labels)
    image = torch.randn(1, 3, height, width)
    with torch.no_grad():
        losses = model.loss(image, [objects])
        layer = model(image, [objects], mode='tensor')[-1]
    logits, found = layer.scores[0].tolist(), layer.boxes[0].tolist()
    references, deltas = layer.references[0].tolist(), layer.deltas[0].tolist()
    scale = (1, 1, 1, 1) if pixels else (width, height, width, height)

    def corners(box: list) -> list:
        x, y, w, h = (value * s for value, s in zip(box, scale))
        return [x - w / 2, y - h / 2, x + w / 2, y + h / 2]

    def l1(query: int, target: list) -> float:
        x1, y1, x2, y2 = target
        box = [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]
        if not pixels:
            return sum(abs(a - b / s) for a, b, s in zip(found[query], box, scale))
        x, y, w, h = references[query]
        w, h = w + 0.1, h + 0.1
        wanted = [(box[0] - x) / w, (box[1] - y) / h, math.log(box[2] / w), math.log(box[3] / h)]
        return sum(abs(a - b) for a, b in zip(deltas[query], wanted))

    weight = 1 if pixels else 5

    def cost(query: int, target: int) -> float:
        logit = logits[query][labels[target]]
        cls = focal(logit, True) - focal(logit, False)
        shape = giou(corners(found[query]), boxes[target])
        return 2 * cls + weight * l1(query, boxes[target]) - 2 * shape

    pairs = min(itertools.permutations(range(4), 2), key=lambda p: cost(p[0], 0) + cost(p[1], 1))
    is_label = {(query, labels[target]) for target, query in enumerate(pairs)}
    cls = sum(focal(logits[q][c], (q, c) in is_label) for q in range(4) for c in range(CLASSES))
    expected = dict(
        loss_cls=2 * cls / 2,
        loss_bbox=weight * sum(l1(q, boxes[t]) for t, q in enumerate(pairs)) / 2,
        loss_iou=2 * sum(1 - giou(corners(found[q]), boxes[t]) for t, q in enumerate(pairs)) / 2,
    )
    for name, value in expected.items():
        assert losses[name].item() == pytest.approx(value, rel=2e-4), name


class Counting:
    """An assigner that counts the queries that it assigns."""

    def __init__(self, assigner):
        self.assigner, self.counts = assigner, []

    def assign(self, *args):
        result = self.assigner.assign(*args)
        self.counts.append(int((result.gt_inds > 0).sum()))
        return result


def test_one_to_many_queries_learn_every_object_several_times():
    model, (images, samples) = build_plain_detr().train(), two_images()
    losses = model.loss(padded(images), samples)
    names = ['loss_cls', 'loss_bbox', 'loss_iou']
    layers = [f'{prefix}{name}' for prefix in ('', 'd0.') for name in names]
    groups = [*layers, *(f'one2many.{name}' for name in layers), *(f'enc_{n}' for n in names)]
    assert sorted(losses) == sorted(groups)
    model.bbox_head.assigner = Counting(model.bbox_head.assigner)
    model.loss(padded(images), samples)
    assert model.bbox_head.assigner.counts == [2, 1] * 2 + [6, 3] * 2 + [2, 1]


def test_groups_of_queries_do_not_see_each_other():
    """One-to-one outputs are the same with and without the other queries."""
    model, (images, samples) = build_plain_detr(), two_images()
    with torch.no_grad():
        model.train()
        with_many = model(images[0][None], samples[:1], mode='tensor')[-1].scores
        model.eval()
        without = model(images[0][None], samples[:1], mode='tensor')[-1].scores
    assert with_many.shape[1] == 30
    assert without.shape[1] == 12
    assert_close(with_many[:, :12], without, atol=1e-5, rtol=1e-5)


@both_forms
def test_images_without_objects_give_finite_losses_and_gradients(pixels):
    model = build_plain_detr(pixels).train()
    losses = model.loss(torch.randn(1, 3, 130, 140), [sample((130, 140), [], [])])
    sum(losses.values()).backward()
    assert losses['loss_bbox'] == losses['loss_iou'] == 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@both_forms
def test_bf16_rounds_no_boxes_and_trains(pixels):
    model, (images, samples) = build_plain_detr(pixels).train(), two_images()
    keep_borders_in_fp32(model)
    exact = model.loss(padded(images), samples)
    with torch.autocast('cpu', torch.bfloat16):
        rounded = model.loss(padded(images), samples)
    assert all(value.dtype == torch.float32 for value in rounded.values())
    total, expected = sum(rounded.values()), sum(exact.values())
    assert_close(total, expected, rtol=0.03, atol=0)
    total.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    with torch.autocast('cpu', torch.bfloat16), torch.no_grad():
        found = model.eval()(padded(images), samples, mode='predict')
    assert all(s.pred_instances.bboxes.dtype == torch.float32 for s in found)


def test_recomputing_the_decoder_changes_nothing():
    images, samples = two_images()
    grads = []
    for with_cp in (False, True):
        model = build_plain_detr(**{'decoder.with_cp': with_cp}).train()
        sum(model.loss(padded(images), samples).values()).backward()
        grads.append([p.grad for p in model.parameters()])
    assert all(a.equal(b) for a, b in zip(*grads))


def test_more_queries_than_proposals_is_an_error_in_one_line():
    model = build_plain_detr(num_queries=100).eval()
    with pytest.raises(ConfigError, match='an image has 85 proposals for num_queries=100'):
        model(torch.randn(1, 3, 64, 64), [sample((64, 64), [], [])], mode='tensor')
