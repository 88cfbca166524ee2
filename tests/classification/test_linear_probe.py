"""A linear probe learns the linear layer and nothing else."""

from __future__ import annotations

import torch
from commands import ROOT
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS
from narrow_classifier import narrow_classifier

from swinv2_dense.classification import ClassificationSample

BASE = ROOT / 'configs' / '_base_'


def test_only_the_head_learns() -> None:
    cfg = Config.fromfile(BASE / 'models' / 'classifier_frozen.py').model
    narrow_classifier(cfg)
    cfg.head.num_classes = 3
    model = MODELS.build(cfg)
    schedule = Config.fromfile(BASE / 'schedules' / 'adamw_linear-probe-90e.py')
    wrapper = build_optim_wrapper(model, schedule.optim_wrapper)
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    samples = [ClassificationSample().set_label(label) for label in (0, 2)]
    data = dict(inputs=list(torch.rand(2, 3, 64, 64) * 255), data_samples=samples)
    losses = model.train_step(data, wrapper)
    assert losses['loss'].isfinite()
    changed = {name for name, value in model.state_dict().items() if not value.equal(before[name])}
    assert changed == {'head.fc.weight', 'head.fc.bias'}
    (features,) = model.backbone(torch.rand(1, 3, 64, 64))
    assert not features.requires_grad  # nothing is kept for a backward pass


def test_a_frozen_backbone_gives_the_same_features_in_training() -> None:
    """Without stochastic depth, so that the probe sees what a test sees."""
    cfg = Config.fromfile(BASE / 'models' / 'classifier_frozen.py').model
    narrow_classifier(cfg)
    cfg.backbone.drop_path_rate = 0.5  # frozen stages stay in eval mode in any case
    model = MODELS.build(cfg)
    for parameter in model.backbone.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    image = torch.rand(1, 3, 64, 64)
    torch.manual_seed(0)
    (in_training,) = model.train().backbone(image)
    (in_test,) = model.eval().backbone(image)
    assert in_training.equal(in_test) and float(in_test.std()) > 0.01
