"""Test-time augmentation: the mean over views, which are what their names say."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from commands import ROOT
from mmengine.config import Config, ConfigDict
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import MODELS
from narrow_classifier import write_image
from torch.testing import assert_close

import swinv2_dense.classification  # noqa: F401  registers
from swinv2_dense.errors import ConfigError
from swinv2_dense.tasks import task_of

SIZE = 32
PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeShorterSide', size=40),
    dict(type='CenterCrop', crop_size=SIZE),
    dict(type='PackClassificationInputs'),
]


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(write_image(tmp_path / 'a.png', (200, 90, 20), size=(50, 70)))


def config(**kwargs: object) -> Config:
    backbone = dict(
        type='SwinTransformerV2',
        arch=dict(embed_dims=8, depths=(1, 1), num_heads=(1, 2)),
        window_size=4,
        out_indices=(1,),
    )
    return Config(
        dict(
            default_scope='swinv2_classification',
            model=dict(
                type='ImageClassifier',
                data_preprocessor=dict(type='ImgDataPreprocessor', mean=[128.0], std=[60.0]),
                backbone=backbone,
                head=dict(type='LinearHead', num_classes=4, in_channels=16),
            ),
            test_dataloader=dict(dataset=dict(type='X', pipeline=copy.deepcopy(PIPELINE))),
            **kwargs,
        )
    )


def views_and_scores(cfg: Config, path: str) -> tuple[list[torch.Tensor], torch.Tensor]:
    """The images that `--tta` makes, and the scores that it gives."""
    task_of(cfg).enable_tta(cfg)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    data = Compose(cfg.test_dataloader.dataset.pipeline)(dict(img_path=path))
    with torch.no_grad():
        (sample,) = model.test_step(pseudo_collate([data]))
        logits = [
            model.module((view.float()[None] - 128) / 60, mode='tensor') for view in data['inputs']
        ]
    scores = torch.cat(logits).softmax(dim=1)
    assert scores.std(dim=0).min() > 1e-5  # views differ
    assert_close(sample.pred_score, scores.mean(dim=0))
    assert int(sample.pred_label) == int(scores.mean(dim=0).argmax())
    return data['inputs'], sample.pred_score


def test_by_default_an_image_and_its_mirror_image(path):
    (plain, mirrored), _ = views_and_scores(config(), path)
    assert plain.equal(Compose(PIPELINE)(dict(img_path=path))['inputs'])
    assert mirrored.equal(plain.flip(-1))


def test_ten_crops(path):
    """Of the fragment, at an eighth of its size: four corners, the center, and mirror images."""
    cfg = Config.fromfile(ROOT / 'configs/_base_/tta/ten-crop_256.py')
    steps = cfg.tta_pipeline
    steps[1].size = 40
    for crop in steps[2].transforms[0]:
        crop.crop_size = SIZE
    views, _ = views_and_scores(config(tta_model=cfg.tta_model, tta_pipeline=steps), path)
    whole = Compose([*PIPELINE[:2], PIPELINE[3]])(dict(img_path=path))['inputs']
    height, width = whole.shape[1:]
    assert (height, width) == (40, 56)
    y, x = height - SIZE, width - SIZE
    corners = [(4, 12), (0, 0), (0, x), (y, 0), (y, x)]
    assert len(views) == 10
    for (top, left), view, mirrored in zip(corners, views[::2], views[1::2]):
        assert view.equal(whole[:, top : top + SIZE, left : left + SIZE])
        assert mirrored.equal(view.flip(-1))


def test_a_pipeline_without_a_packing_step_is_an_error():
    cfg = config()
    cfg.test_dataloader.dataset.pipeline = [ConfigDict(PIPELINE[0])]
    with pytest.raises(ConfigError, match='--tta: test_dataloader.dataset.pipeline has no PackCl'):
        task_of(cfg).enable_tta(cfg)
