"""Mixup and CutMix: the weights of the labels are those of the pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from swinv2_dense.classification import MixupCutmix

LABELS = torch.tensor([3, 0, 1, 4])
# A batch in which every pixel of image i is i: mixed values tell the weights.
PLAIN = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 40, 56)


def mixed(step: MixupCutmix, seed: int) -> tuple[Tensor, Tensor]:
    np.random.seed(seed)
    return step(PLAIN, LABELS, 5)


def weights(target: Tensor) -> list[float]:
    """Of the first label of each image, whose second is that of the image at the other end."""
    for row, one, two in zip(target, LABELS, LABELS.flip(0)):
        assert float(row[one] + row[two]) == pytest.approx(1)
        assert sorted(row.tolist())[:3] == [0, 0, 0]
    return [float(row[one]) for row, one in zip(target, LABELS)]


@pytest.mark.parametrize('seed', range(10))
def test_mixup_weighs_pixels_as_labels(seed):
    images, target = mixed(MixupCutmix(cutmix=0.0), seed)
    for i, weight in enumerate(weights(target)):
        expected = weight * i + (1 - weight) * (3 - i)
        assert images[i].allclose(torch.tensor(expected), atol=1e-5)


@pytest.mark.parametrize('seed', range(10))
def test_cutmix_pastes_the_share_that_the_label_says(seed):
    images, target = mixed(MixupCutmix(mixup=0.0), seed)
    for i, weight in enumerate(weights(target)):
        assert set(images[i].unique().tolist()) <= {float(i), float(3 - i)}
        assert float((images[i] == i).float().mean()) == pytest.approx(weight, abs=1e-6)
    pasted = (images[0, 0] == 3).nonzero()
    if len(pasted):  # one rectangle
        height, width = (pasted.max(dim=0)[0] - pasted.min(dim=0)[0] + 1).tolist()
        assert len(pasted) == height * width
    assert (PLAIN[1] == 1).all()  # the batch itself stays


def test_choices_follow_the_probabilities():
    """Half of the batches are pasted, half are averaged; with prob=0.4, 60 % stay."""

    def kinds(step: MixupCutmix) -> np.ndarray:
        np.random.seed(0)
        found = []
        for _ in range(400):
            images, target = step(PLAIN[..., :8, :8], LABELS, 5)
            is_plain = float(target.max(dim=1)[0].min()) == 1
            values = images.unique().tolist()
            found.append(0 if is_plain else 1 if set(values) <= {0, 1, 2, 3} else 2)
        return np.bincount(found, minlength=3) / 400

    both = kinds(MixupCutmix())
    assert both[2] == pytest.approx(0.5, abs=0.08) and both[0] < 0.1
    rarely = kinds(MixupCutmix(prob=0.4))
    assert rarely[0] == pytest.approx(0.6, abs=0.08)
    assert kinds(MixupCutmix(mixup=0.0))[2] == 0
    assert kinds(MixupCutmix(cutmix=0.0))[1] < 0.05


def test_weights_of_mixup_are_beta_distributed():
    """Beta(0.8, 0.8): mean 1/2, variance 1 / (4 (2 a + 1))."""
    np.random.seed(0)
    step = MixupCutmix(cutmix=0.0)
    found = [float(step(PLAIN, LABELS, 5)[1][0, 3]) for _ in range(2000)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.02)
    assert np.var(found) == pytest.approx(1 / (4 * 2.6), abs=0.006)


def test_an_odd_batch_mixes_its_middle_with_itself():
    np.random.seed(0)
    images, target = MixupCutmix()(PLAIN[:3], LABELS[:3], 5)
    assert images[1].equal(PLAIN[1]) and target[1].allclose(torch.eye(5)[0])


@pytest.mark.parametrize('change', [dict(mixup=0, cutmix=0), dict(prob=2), dict(switch_prob=-1)])
def test_arguments_out_of_range(change):
    with pytest.raises(ValueError, match=f'{next(iter(change))}='):
        MixupCutmix(**change)
