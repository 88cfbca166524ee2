"""Logits, losses and scores of the classifier against formulas and transformers."""

from __future__ import annotations

import math

import pytest
import torch
from mmengine.registry import MODELS
from narrow import ARCH, CHANNELS
from torch import Tensor
from torch.testing import assert_close

from swinv2_dense.classification import ClassificationSample, ImageClassifier

CLASSES = 7


def build(smoothing: float = 0.0, **kwargs: object) -> ImageClassifier:
    torch.manual_seed(0)
    backbone = dict(
        type='SwinTransformerV2', arch=ARCH, window_size=4, out_indices=(3,), drop_path_rate=0.0
    )
    loss = dict(type='SmoothedCrossEntropy', label_smoothing=smoothing)
    head = dict(type='LinearHead', num_classes=CLASSES, in_channels=CHANNELS[-1], loss=loss)
    model = MODELS.build(dict(type='ImageClassifier', backbone=backbone, head=head, **kwargs))
    for name, parameter in model.named_parameters():
        if 'norm' in name or name.startswith('head'):  # residual branches start at zero
            torch.nn.init.normal_(parameter, std=0.5)
    return model.eval().requires_grad_(False)


def labelled(*labels: int) -> list[ClassificationSample]:
    return [ClassificationSample().set_label(label) for label in labels]


IMAGES = torch.randn(3, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def test_logits_are_a_linear_function_of_the_mean_of_the_last_map():
    model = build()
    (features,) = model.backbone(IMAGES)
    mean = torch.stack([features[:, :, y, x] for y in range(2) for x in range(3)]).mean(dim=0)
    expected = mean @ model.head.fc.weight.T + model.head.fc.bias
    assert_close(model(IMAGES), expected)
    assert model(IMAGES).std() > 0.1


def smoothed_loss(logits: Tensor, target: Tensor, smoothing: float) -> float:
    total = 0.0
    for row, wanted in zip(logits.tolist(), target.tolist()):
        log_sum = math.log(sum(math.exp(v) for v in row))
        for value, share in zip(row, wanted):
            total -= ((1 - smoothing) * share + smoothing / len(row)) * (value - log_sum)
    return total / len(logits)


@pytest.mark.parametrize('smoothing', [0.0, 0.1])
def test_the_loss_of_labels(smoothing):
    model = build(smoothing)
    target = torch.eye(CLASSES)[[2, 0, 6]]
    found = model(IMAGES, labelled(2, 0, 6), mode='loss')['loss']
    assert float(found) == pytest.approx(smoothed_loss(model(IMAGES), target, smoothing), rel=1e-5)


def test_smoothing_mixed_labels_is_mixing_smoothed_labels():
    """As timm does it: the label of each image is smoothed first."""
    model = build(0.1)
    logits = model(IMAGES)
    one, two = torch.eye(CLASSES)[[2, 0, 6]], torch.eye(CLASSES)[[6, 0, 2]]
    mixed = model.head.loss_module(logits, 0.3 * one + 0.7 * two)
    first, second = (0.9 * part + 0.1 / CLASSES for part in (one, two))
    log_p = logits.log_softmax(dim=1)
    assert_close(mixed, -((0.3 * first + 0.7 * second) * log_p).sum(dim=1).mean())


def test_predictions():
    model = build()
    samples = model(IMAGES, labelled(1, 2, 3), mode='predict')
    scores = torch.stack([sample.pred_score for sample in samples])
    logits = model(IMAGES)
    assert_close(scores, logits.exp() / logits.exp().sum(dim=1, keepdim=True))
    assert [int(sample.pred_label) for sample in samples] == logits.argmax(dim=1).tolist()
    assert [int(sample.gt_label) for sample in samples] == [1, 2, 3]
    assert 'gt_label' not in model(IMAGES, mode='predict')[0]


def test_parameters_are_named_as_in_mmpretrain():
    """Of its ImageClassifier: `backbone.*` and `head.fc.*`, and nothing else."""
    state = build().state_dict()
    heads = {key: tuple(value.shape) for key, value in state.items() if 'backbone.' not in key}
    assert heads == {'head.fc.weight': (CLASSES, CHANNELS[-1]), 'head.fc.bias': (CLASSES,)}


def test_initial_weights_of_the_head_are_the_official_ones():
    model = build()
    model.head.init_weights()
    assert float(model.head.fc.weight.detach().std()) == pytest.approx(0.02, rel=0.1)
    assert not model.head.fc.bias.any()


def test_bf16_gives_fp32_scores_close_to_those_in_fp32():
    model = build(0.1)
    with torch.autocast('cpu', torch.bfloat16):
        found = model(IMAGES, mode='predict')
        loss = model(IMAGES, labelled(0, 1, 2), mode='loss')['loss']
    assert found[0].pred_score.dtype == loss.dtype == torch.float32
    assert_close(
        torch.stack([sample.pred_score for sample in found]),
        torch.stack([sample.pred_score for sample in model(IMAGES, mode='predict')]),
        atol=0.05,
        rtol=0.0,
    )


def test_mixing_reaches_the_loss():
    """With the augmentation, two equal labels give the loss of one; different ones do not."""
    mixed = build(train_augment=dict(type='MixupCutmix', cutmix=0.0))
    same = torch.stack([IMAGES[0], IMAGES[0]])
    expected = build()(same, labelled(4, 4), mode='loss')['loss']
    assert_close(mixed(same, labelled(4, 4), mode='loss')['loss'], expected)
    assert not mixed(same, labelled(4, 0), mode='loss')['loss'].allclose(expected)


def test_smoothing_out_of_range_is_an_error():
    with pytest.raises(ValueError, match='label_smoothing=2 must be from 0 to 1'):
        build(2)


def test_an_unknown_mode_is_an_error():
    with pytest.raises(ValueError, match="mode='logits' must be 'loss', 'predict' or 'tensor'"):
        build()(IMAGES, mode='logits')
