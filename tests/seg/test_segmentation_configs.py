"""Multi-scale tests, moving averages and other windows with segmentation configs."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
import torch
from commands import ROOT
from contracts import segmentation
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from narrow_segmentor import narrow_segmentor
from snapshots import Snapshots

from swinv2_dense.cli.common import build_runner
from swinv2_dense.seg.test_options import use_seg_tta

pytest.importorskip('mmseg')
FOLDER, load = segmentation.FOLDER, segmentation.CONTRACT.load
CONFIGS = sorted(path.stem for path in FOLDER.glob('*.py'))


@pytest.fixture(scope='module')
def trees(tmp_path_factory) -> dict[str, Path]:
    return segmentation.write_data(tmp_path_factory.mktemp('trees'))


def small(cfg: Config, trees: dict[str, Path], work_dir: Path) -> Config:
    """The config with one training step on small data."""
    cfg = copy.deepcopy(cfg)
    segmentation.shrink(cfg, trees)
    cfg.work_dir = str(work_dir)
    return cfg


@pytest.mark.parametrize('name', [name for name in CONFIGS if re.match('upernet.*-[lg]-', name)])
def test_multi_scale_views_are_multiples_of_the_plain_test(name):
    """0.5 to 1.75 times its size, also mirrored; windows equal attention windows in stage 3."""
    cfg = load(name)
    side = max(cfg.model.test_cfg.crop_size)
    assert side == 16 * cfg.model.backbone.window_size
    (plain,) = [s for s in cfg.test_dataloader.dataset.pipeline if s.type == 'Resize']
    assert tuple(plain.scale) == (4 * side, side)
    views, flips = cfg.tta_pipeline[1].transforms[:2]
    ratios = [0.5, 0.75, 1.0, 1.25, 1.5, 1.75]
    assert [tuple(v.scale) for v in views] == [(int(4 * side * r), int(side * r)) for r in ratios]
    assert [flip.prob for flip in flips] == [0.0, 1.0]
    assert cfg.tta_model.type == 'TiledSegTTAModel'


def test_multi_scale_test(trees, tmp_path):
    """Twelve views in sliding windows, through the pipeline of the config."""
    cfg = small(load('upernet_swinv2-l-w40_32xb2-40k_ade20k-640x640'), trees, tmp_path)
    cfg.test_evaluator.output_dir = str(tmp_path / 'maps')
    use_seg_tta(cfg)
    assert cfg.model.type == 'TiledSegTTAModel'
    assert cfg.test_dataloader.dataset.pipeline == cfg.tta_pipeline
    with DefaultScope.overwrite_default_scope('mmseg'):
        metrics = build_runner(cfg).test()
    assert 0 <= metrics['mIoU'] <= 100
    assert [p.name for p in sorted((tmp_path / 'maps').iterdir())] == ['0000.png', '0001.png']


def test_moving_average_as_an_option(trees, tmp_path):
    """As a base: the average starts with the weights after the first step."""
    path = tmp_path / 'mine.py'
    leaf = FOLDER / 'upernet_swinv2-t-w16_8xb2-160k_ade20k-512x512.py'
    ema = ROOT / 'configs/_base_/schedules/ema.py'
    path.write_text(f'_base_ = [{str(leaf)!r}, {str(ema)!r}]')
    cfg = small(Config.fromfile(path), trees, tmp_path / 'work')
    cfg.train_cfg.max_iters = cfg.default_hooks.checkpoint.interval = 2
    with DefaultScope.overwrite_default_scope('mmseg'):
        runner, snapshots = build_runner(cfg), Snapshots()
        runner.register_hook(snapshots)
        runner.train()
    # A checkpoint holds the average as the model's weights, and the weights beside it.
    saved = torch.load(tmp_path / 'work/iter_2.pth', weights_only=False)
    name = 'decode_head.conv_seg.weight'
    first = snapshots.taken[1][name]
    second = saved['ema_state_dict'][f'module.{name}']
    assert not torch.equal(first, second)
    expected = first + 0.0002 * (second - first)
    torch.testing.assert_close(saved['state_dict'][name], expected, atol=1e-9, rtol=1e-6)


# ------------------------------------------------------------------------------ the window at test


META = [dict(ori_shape=(96, 128), img_shape=(96, 128))]


def build(model: Config, **backbone) -> torch.nn.Module:
    cfg = Config(dict(model=copy.deepcopy(model)))
    cfg.merge_from_dict({f'model.backbone.{key}': value for key, value in backbone.items()})
    with DefaultScope.overwrite_default_scope('mmseg'):
        return MODELS.build(cfg.model)


def randomize(model: torch.nn.Module) -> None:
    """Biases that differ between offsets, and blocks that are not the identity."""
    for name, parameter in model.named_parameters():
        if 'cpb_mlp' in name or 'norm' in name:
            torch.nn.init.normal_(parameter, 0.0 if 'cpb' in name else 1.0, 0.5)


@torch.no_grad()
def test_the_same_weights_at_another_window():
    """One override and the same checkpoint; the first window still gives the same result."""
    cfg = copy.deepcopy(load('upernet_swinv2-t-w16_8xb2-160k_ade20k-512x512'))
    narrow_segmentor(cfg.model)
    trained = build(cfg.model, window_size=4)
    randomize(trained)
    weights, image = trained.state_dict(), torch.randn(1, 3, 96, 128)

    def logits(window: int) -> tuple[torch.nn.Module, torch.Tensor]:
        model = build(cfg.model, window_size=window).eval()
        model.load_state_dict(weights)
        return model, model.encode_decode(image, META)

    first = trained.eval().encode_decode(image, META)
    wide_model, wide = logits(8)
    assert wide.isfinite().all() and not torch.allclose(wide, first, atol=1e-3)
    assert torch.equal(logits(4)[1], first)
    # Log-CPB extends: the bias of an offset is that of training, whatever the window.
    for a, b in zip(trained.backbone.layers[:2], wide_model.backbone.layers[:2]):
        for here, there in zip(a.blocks, b.blocks):
            narrow, large = here.attn.cpb_mlp((4, 4)), there.attn.cpb_mlp((8, 8))
            assert here.attn.window_size == (4, 4) and there.attn.window_size == (8, 8)
            torch.testing.assert_close(large[:, 4:-4, 4:-4], narrow, atol=1e-5, rtol=1e-5)
