"""Every segmentation config: name and content agree, it states the paper's recipe, and it runs."""

from __future__ import annotations

import ast
import copy
import functools
import re
from pathlib import Path

import pytest
import torch
from commands import ROOT
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from narrow_segmentor import narrow_segmentor, shrink, use_tree, write_segmentation_tree
from snapshots import Snapshots

from swinv2_dense.cli.common import check_config

pytest.importorskip('mmseg')
FOLDER = ROOT / 'configs' / 'segmentation'
CONFIGS = sorted(path.stem for path in FOLDER.glob('*.py'))
NAME = re.compile(
    r'upernet_swinv2-(?P<arch>[tsblg])-w(?P<window>\d+)_(?P<gpus>\d+)xb(?P<batch>\d+)-'
    r'(?P<tricks>(?:(?:bf16|fsdp|test|gn|acc\d+)-)*)(?P<length>\d+)k_'
    r'(?P<dataset>ade20k|cityscapes)-(?P<height>\d+)x(?P<width>\d+)'
)
DATASETS = {'ade20k': ('ADE20KDataset', 150), 'cityscapes': ('CityscapesDataset', 19)}


@functools.cache
def load(name: str) -> Config:
    """Shared by the tests, which leave it as it is."""
    return Config.fromfile(FOLDER / f'{name}.py')


def parts_of(name: str) -> int:
    """Parts of a batch whose gradients are accumulated."""
    found = re.search(r'-acc(\d+)-', name)
    return int(found[1]) if found else 1


@pytest.mark.parametrize('name', CONFIGS)
def test_name_says_what_the_config_holds(name):
    cfg, said = load(name), NAME.fullmatch(name)
    assert said, 'not of the grammar upernet_swinv2-{arch}-w{window}_{gpus}xb{batch}-...'
    model, tricks = cfg.model, said['tricks'].split('-')
    assert model.type == 'TiledEncoderDecoder'
    assert model.backbone.arch == said['arch']
    assert model.backbone.window_size == int(said['window'])
    assert cfg.train_dataloader.batch_size == int(said['batch'])
    batch = int(said['gpus']) * int(said['batch']) * parts_of(name)
    assert cfg.auto_scale_lr.base_batch_size == batch
    assert ('bf16' in tricks) == (cfg.optim_wrapper.type == 'Bf16OptimWrapper')
    assert ('fsdp' in tricks) == (cfg.get('runner_type') == 'FlexibleRunner')
    assert cfg.optim_wrapper.get('accumulative_counts', 1) == parts_of(name)
    assert cfg.train_cfg.max_iters == int(said['length']) * 1000 * parts_of(name)
    kind, num_classes = DATASETS[said['dataset']]
    assert cfg.train_dataloader.dataset.type == kind
    size = (int(said['height']), int(said['width']))
    if 'test' in tricks and model.test_cfg.mode == 'slide':
        assert size == tuple(model.test_cfg.crop_size)
    else:
        (crop,) = [s for s in cfg.train_dataloader.dataset.pipeline if s.type == 'RandomCrop']
        assert size == tuple(crop.crop_size) == tuple(model.data_preprocessor.size)
    for head in (model.decode_head, model.auxiliary_head):
        assert head.num_classes == num_classes
        assert head.norm_cfg.type == ('GN' if 'gn' in tricks else 'SyncBN')


@functools.cache
def heads_of_mmseg() -> dict[str, dict]:
    swin = 'swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py'
    model = Config.fromstring(f"_base_ = 'mmseg::{swin}'", '.py').model
    return {key: model[key].to_dict() for key in ('decode_head', 'auxiliary_head')}


@pytest.mark.parametrize('name', CONFIGS)
def test_heads_are_those_of_mmseg_for_swin(name):
    """But for channels of the backbone, classes and norm."""
    changed = ('in_channels', 'num_classes', 'norm_cfg')
    for key, theirs in heads_of_mmseg().items():
        ours = load(name).model[key].to_dict()
        assert {k: v for k, v in ours.items() if k not in changed} == {
            k: v for k, v in theirs.items() if k not in changed
        }


# Written from the paper (Tables 1 and 4; appendices A1, A2), apart from the configs: lr, images per
# step, layer decay, steps, steps of warm-up, drop path.
ABLATION = (4e-5, 16, 0.95, 160000, 1500, 0.3)
LARGE, GIANT = (6e-5, 64, 1.0, 40000, 375, 0.3), (4e-5, 32, 1.0, 80000, 750, 0.4)
PUBLISHED = {  # recipe, and mIoU of single-scale and of multi-scale tests
    'upernet_swinv2-t-w16_8xb2-160k_ade20k-512x512': (ABLATION, '47.0'),
    'upernet_swinv2-t-w20_8xb2-160k_ade20k-512x512': (ABLATION, '47.7'),
    'upernet_swinv2-t-w32_8xb2-160k_ade20k-512x512': (ABLATION, '47.8'),
    'upernet_swinv2-t-w20_8xb2-test-160k_ade20k-512x512': (ABLATION, '47.7'),
    'upernet_swinv2-t-w32_8xb2-test-160k_ade20k-512x512': (ABLATION, '47.8'),
    'upernet_swinv2-l-w40_32xb2-40k_ade20k-640x640': (LARGE, '55.9'),
    'upernet_swinv2-l-w40_4xb2-bf16-gn-acc8-40k_ade20k-640x640': (LARGE, '55.9'),
    'upernet_swinv2-g-w40_16xb2-bf16-fsdp-80k_ade20k-640x640': (GIANT, '59.1'),
    'upernet_swinv2-g-w56_16xb2-bf16-fsdp-test-80k_ade20k-896x896': (GIANT, '59.3 59.9'),
}
CITYSCAPES = (4e-5, 8, 0.95, 80000, 1500, 0.3)


@pytest.mark.parametrize('name', CONFIGS)
def test_recipe_is_the_papers(name):
    """Configs of our own take the recipe of the paper's ablation."""
    ours = CITYSCAPES if 'cityscapes' in name else ABLATION
    lr, batch, layer_decay, steps, warm_up, drop_path = PUBLISHED.get(name, (ours,))[0]
    cfg, said, parts = load(name), NAME.fullmatch(name), parts_of(name)
    wrapper = cfg.optim_wrapper
    assert wrapper.constructor == 'SwinV2OptimWrapperConstructor'
    assert wrapper.optimizer == dict(type='AdamW', lr=lr, betas=(0.9, 0.999), weight_decay=0.05)
    assert wrapper.paramwise_cfg == dict(layer_decay=layer_decay)
    assert int(said['gpus']) * int(said['batch']) * parts == batch
    assert cfg.train_cfg.max_iters == steps * parts
    first, second = cfg.param_scheduler
    assert (first.type, first.end, first.by_epoch) == ('LinearLR', warm_up * parts, False)
    assert (second.type, second.power, second.by_epoch) == ('PolyLR', 1.0, False)
    assert (second.begin, second.end, second.get('eta_min', 0)) == (first.end, steps * parts, 0)
    assert cfg.model.backbone.drop_path_rate == drop_path
    names = [step.type for step in cfg.train_dataloader.dataset.pipeline]
    assert {'RandomFlip', 'PhotoMetricDistortion'} < set(names)
    resize = cfg.train_dataloader.dataset.pipeline[names.index('RandomResize')]
    assert resize.ratio_range == (0.5, 2.0)


@pytest.mark.parametrize('name', CONFIGS)
def test_top_comment_states_row_and_assumptions(name):
    comment = re.match(r'(#.*\n)+', (FOLDER / f'{name}.py').read_text())[0]
    if name not in PUBLISHED:
        assert re.search(r'[Nn]ot\W+in\W+the\W+paper', comment)
        return
    assert 'Table 1' in comment or 'Table 4' in comment
    assert all(number in comment for number in PUBLISHED[name][1].split())
    if 'test' not in name and 'acc' not in name:
        assert 'Assumed' in comment


@pytest.mark.parametrize('name', [name for name in CONFIGS if '-test-' in name])
def test_a_config_for_tests_differs_in_nothing_that_is_trained(name):
    (sibling,) = bases(FOLDER / f'{name}.py')
    cfg, trained = load(name), load(Path(sibling).stem)
    assert cfg.model.backbone.to_dict() == {
        **trained.model.backbone.to_dict(),
        'window_size': cfg.model.backbone.window_size,
    }
    for key in ('train_dataloader', 'optim_wrapper', 'param_scheduler', 'train_cfg'):
        assert cfg[key] == trained[key]


@pytest.mark.parametrize('name', [name for name in CONFIGS if re.search('-[lg]-', name)])
def test_multi_scale_views_are_multiples_of_the_plain_test(name):
    """0.5 to 1.75 times its size, mirrored too; each window is one attention window in stage 3."""
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


def bases(path: Path) -> list[str]:
    assigned = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Assign)]
    (found,) = [n.value for n in assigned if getattr(n.targets[0], 'id', '') == '_base_']
    value = ast.literal_eval(found)
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize('name', CONFIGS)
def test_a_variant_is_short_and_no_variant_of_a_variant(name):
    path = FOLDER / f'{name}.py'
    siblings = [base for base in bases(path) if base.startswith('./')]
    assert len(path.read_text().splitlines()) <= (25 if siblings else 60)
    for sibling in siblings:
        assert not [base for base in bases(FOLDER / sibling) if base.startswith('./')]


@pytest.mark.parametrize('name', CONFIGS)
def test_written_out_it_is_the_same(name, tmp_path):
    cfg = load(name)
    cfg.dump(tmp_path / 'written.py')
    assert Config.fromfile(tmp_path / 'written.py').to_dict() == cfg.to_dict()


@pytest.fixture(scope='module')
def trees(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp('trees')
    return {kind: write_segmentation_tree(root / kind, kind) for kind, _ in DATASETS.values()}


def small(cfg: Config, trees: dict[str, Path], work_dir: Path) -> Config:
    """The config in small: one step of training."""
    cfg = copy.deepcopy(cfg)
    narrow_segmentor(cfg.model)
    shrink(cfg, 8)
    use_tree(cfg, trees[cfg.train_dataloader.dataset.type])
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=1, val_interval=1000)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.param_scheduler = None
    cfg.train_dataloader.batch_size = 2
    cfg.optim_wrapper.pop('accumulative_counts', None)
    cfg.default_hooks.logger.interval = 1
    cfg.pop('runner_type', None)  # sharding needs several processes: tests/distributed/test_fsdp.py
    cfg.pop('strategy', None)
    cfg.work_dir = str(work_dir)
    return cfg


@pytest.mark.parametrize('name', CONFIGS)
def test_one_training_step_and_one_test_step(name, trees, tmp_path):
    from swinv2_dense.cli.common import build_runner

    cfg = small(load(name), trees, tmp_path)
    check_config(cfg, ('train', 'test'))
    with DefaultScope.overwrite_default_scope('mmseg'):
        runner, snapshots = build_runner(cfg), Snapshots()
        runner.register_hook(snapshots)
        runner.train()
        (before,) = snapshots.taken
        changed = {n for n, p in runner.model.named_parameters() if not p.detach().equal(before[n])}
        for part in ('backbone.patch_embed', 'backbone.norm3', 'decode_head', 'auxiliary_head'):
            assert any(n.startswith(part) for n in changed), f'{part} did not learn'
        assert all(p.isfinite().all() for p in runner.model.parameters())
        metrics = runner.test()
    assert 0 <= metrics['mIoU'] <= 100


def test_multi_scale_test(trees, tmp_path):
    """Twelve views in sliding windows, through the pipeline of the config."""
    from swinv2_dense.cli.common import build_runner
    from swinv2_dense.seg.test_options import use_seg_tta

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
    """Named in `_base_`: the average begins with the weights after the first step."""
    from swinv2_dense.cli.common import build_runner

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


def randomise(model: torch.nn.Module) -> None:
    """Biases that differ between offsets, and blocks that are not the identity."""
    for name, parameter in model.named_parameters():
        if 'cpb_mlp' in name or 'norm' in name:
            torch.nn.init.normal_(parameter, 0.0 if 'cpb' in name else 1.0, 0.5)


@torch.no_grad()
def test_the_same_weights_at_another_window():
    """One override and the weights of a checkpoint; back at the first window all is as it was."""
    cfg = copy.deepcopy(load('upernet_swinv2-t-w16_8xb2-160k_ade20k-512x512'))
    narrow_segmentor(cfg.model)
    trained = build(cfg.model, window_size=4)
    randomise(trained)
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
