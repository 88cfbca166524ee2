"""Every video config: name and content agree, it states its recipe, and it runs."""

from __future__ import annotations

import ast
import copy
import functools
import math
import re
from pathlib import Path

import numpy as np
import pytest
from commands import ROOT
from mmengine.config import Config
from mmengine.registry import DefaultScope
from snapshots import Snapshots

from swinv2_dense.cli.common import check_config

pytest.importorskip('mmaction')
from narrow_recognizer import narrow_recognizer, shrink_clips, use_clips, write_clips  # noqa: E402

FOLDER = ROOT / 'configs' / 'video'
CONFIGS = sorted(path.stem for path in FOLDER.glob('*.py'))
NAME = re.compile(
    r'swinv2-(?P<arch>tiny|small|base|large|giant)-p244-w(?P<window>888|\d+x\d+x\d+)_'
    r'(?:(?P<weights>in1k|in22k|k400)-pre_)?(?P<gpus>\d+)xb(?P<batch>\d+)-bf16-'
    r'(?P<fsdp>fsdp-)?(?:acc(?P<parts>\d+)-)?(?:test-(?P<views>\dx\d)-)?'
    r'(?P<sampling>\d+x\dx1|u32)-(?P<epochs>\d+)e_'
    r'(?P<dataset>kinetics[467]00|sthv2)-rgb(?:-(?P<size>\d+))?'
)
CLASSES = {'kinetics400': 400, 'kinetics600': 600, 'kinetics700': 700, 'sthv2': 174}
WIDTHS = {'tiny': 768, 'small': 768, 'base': 1024, 'large': 1536, 'giant': 4096}


@functools.cache
def load(name: str) -> Config:
    """Shared by the tests, which leave it as it is."""
    return Config.fromfile(FOLDER / f'{name}.py')


def steps_of(cfg: Config, split: str) -> dict[str, dict]:
    return {step.type: step for step in cfg[f'{split}_dataloader'].dataset.pipeline}


def window_of(said: re.Match) -> tuple[int, ...]:
    window = said['window']
    return (8, 8, 8) if window == '888' else tuple(map(int, window.split('x')))


@pytest.mark.parametrize('name', CONFIGS)
def test_name_says_what_the_config_holds(name):
    cfg, said = load(name), NAME.fullmatch(name)
    assert said, 'not of the grammar swinv2-{arch}-p244-w{t}x{h}x{w}_{init}-pre_{gpus}xb{batch}-'
    backbone, head = cfg.model.backbone, cfg.model.cls_head
    assert cfg.model.type == 'ChunkedRecognizer3D'
    assert (backbone.type, backbone.arch) == ('VideoSwinTransformerV2', said['arch'][0])
    assert backbone.window_size == window_of(said)
    weights = backbone.init_cfg.checkpoint if backbone.init_cfg else cfg.load_from
    marks = {'in1k': 'window8_256.pth', 'in22k': 'window12_192_22k.pth', 'k400': 'kinetics400'}
    assert marks.get(said['weights'], 'kinetics400') in weights if weights else 'giant' in name
    assert backbone.init_cfg is None or said['arch'] in weights
    assert cfg.train_dataloader.batch_size == int(said['batch'])
    assert cfg.optim_wrapper.type == 'Bf16OptimWrapper'
    assert cfg.optim_wrapper.get('accumulative_counts', 1) == int(said['parts'] or 1)
    assert bool(said['fsdp']) == (cfg.get('runner_type') == 'FlexibleRunner')
    batch = int(said['gpus']) * int(said['batch']) * int(said['parts'] or 1)
    assert cfg.auto_scale_lr.base_batch_size == batch
    assert cfg.train_cfg.max_epochs == int(said['epochs'])
    assert head.num_classes == CLASSES[said['dataset']]
    assert head.in_channels == WIDTHS[said['arch']]
    for split in ('train', 'val', 'test'):
        assert cfg[f'{split}_dataloader'].dataset.data_root == f'data/{said["dataset"]}/'


@pytest.mark.parametrize('name', CONFIGS)
def test_pipelines_are_those_of_the_name(name):
    cfg, said = load(name), NAME.fullmatch(name)
    size = int(said['size'] or 256)
    for split in ('train', 'val', 'test'):
        steps = steps_of(cfg, split)
        kind = 'UniformSample' if said['sampling'] == 'u32' else 'SampleFrames'
        sampling, crop = steps[kind], size
        if kind == 'SampleFrames':
            given = (sampling.clip_len, sampling.frame_interval)
            assert given == tuple(map(int, said['sampling'].split('x')[:2]))
            clips = {'train': 1, 'val': 1}.get(split, 1 if 'giant' in name else 4)
            clips = int(said['views'][0]) if said['views'] and split == 'test' else clips
            assert sampling.num_clips == clips
        assert bool(sampling.get('test_mode')) == (split != 'train')
        if said['views'] and split != 'test':
            continue  # those of the config that it tests
        if split == 'train':
            resizes = [s for s in cfg.train_dataloader.dataset.pipeline if s.type == 'Resize']
            assert [s.scale for s in resizes] == [(-1, round(size * 8 / 7)), (size, size)]
            assert ('Flip' in steps) == (said['dataset'] != 'sthv2')
        else:
            crop = next(s for s in steps.values() if s.type.endswith(('Crop', 'Crops')))
            assert (steps['Resize'].scale, crop.crop_size) == ((-1, size), size)
            if split == 'val' or '1x1' in name or ('giant' in name and not said['views']):
                assert crop.type == 'CenterCrop'
            else:
                assert crop.get('num_crops', 3) == int((said['views'] or '4x3')[2])


# Written from Video Swin (arXiv 2106.13230, and mmaction2's configs for it) and from appendix A2.2:
# lr, weight decay, drop path, clips per step, epochs, epochs of warm-up.
RECIPES = {
    'tiny': (1e-3, 0.02, 0.1, 64, 30, 2.5),
    'small': (1e-3, 0.02, 0.2, 64, 30, 2.5),
    'base in1k': (1e-3, 0.05, 0.3, 64, 30, 2.5),
    'base in22k': (3e-4, 0.05, 0.2, 64, 30, 2.5),
    'large': (1e-3, 0.05, 0.4, 64, 30, 2.5),
    'large 700': (1e-3, 0.05, 0.4, 128, 30, 2.5),
    'base sthv2': (3e-4, 0.05, 0.4, 64, 60, 2.5),
    'giant 256': (3.6e-4, 0.1, 0.4, 80, 20, 2.5),
    'giant 320': (5e-5, 0.1, 0.4, 64, 5, 1),
    'giant 384': (5e-5, 0.1, 0.4, 64, 5, 1),
}


def recipe_of(name: str) -> tuple:
    said = NAME.fullmatch(name)
    keys = {
        'base': f'base {"sthv2" if said["dataset"] == "sthv2" else said["weights"]}',
        'large': 'large 700' if '700' in said['dataset'] else 'large',
        'giant': f'giant {said["size"] or 256}',
    }
    return RECIPES[keys.get(said['arch'], said['arch'])]


@pytest.mark.parametrize('name', CONFIGS)
def test_recipe(name):
    lr, decay, drop_path, batch, epochs, warm_up = recipe_of(name)
    cfg = load(name)
    wrapper = cfg.optim_wrapper
    assert wrapper.constructor == 'SwinV2OptimWrapperConstructor'
    assert wrapper.optimizer == dict(type='AdamW', lr=lr, betas=(0.9, 0.999), weight_decay=decay)
    assert wrapper.paramwise_cfg == dict(backbone_lr_mult=0.1)
    assert (cfg.auto_scale_lr.base_batch_size, cfg.train_cfg.max_epochs) == (batch, epochs)
    first, second = cfg.param_scheduler
    assert (first.type, first.end, first.start_factor) == ('LinearLR', warm_up, 0.1)
    assert (second.type, second.T_max, second.eta_min) == ('CosineAnnealingLR', epochs, 0)
    assert cfg.model.backbone.drop_path_rate == drop_path
    assert cfg.model.cls_head.dropout_ratio == 0.5
    smoothing = 0.1 if 'sthv2' in name else 0
    assert cfg.model.cls_head.get('label_smooth_eps', 0) == smoothing
    assert ('VideoRandAugment' in steps_of(cfg, 'train')) == ('sthv2' in name)


@pytest.mark.parametrize('name', CONFIGS)
def test_the_clip_and_the_window_in_tokens(name):
    """x 8 of the paper: 8 tokens in time, all within one window; in space 1/16 of the size."""
    cfg, said = load(name), NAME.fullmatch(name)
    clip = 32 if said['sampling'] == 'u32' else int(said['sampling'].split('x')[0])
    window = cfg.model.backbone.window_size
    if said['arch'] == 'giant':
        assert clip // 2 == window[0] == 8
    if window[1] != 8:  # T, S and B keep the window of their weights, 8 at 256
        assert int(said['size'] or 256) == 16 * window[1] == 16 * window[2]


TOP1 = {'320': '83.2', 'test-1x1': '83.4', 'test-4x5': '86.8'}


@pytest.mark.parametrize('name', CONFIGS)
def test_top_comment_states_row_and_assumptions(name):
    comment = re.match(r'(#.*\n)+', (FOLDER / f'{name}.py').read_text())[0].replace('\n# ', ' ')
    if 'acc' not in name and 'test-1x1' not in name:
        assert 'Assumed' in comment
    if 'giant' not in name:
        assert re.search(r'not in the (SwinV2 )?paper', comment)
        return
    said = NAME.fullmatch(name)
    if not said['size']:
        assert '"x 8" counts tokens, 16 frames in patches of 2' in comment
    key = f'test-{said["views"]}' if said['views'] else said['size']
    assert TOP1.get(key, 'Table 5') in comment and 'Table 5' in comment


def bases(path: Path) -> list[str]:
    assigned = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Assign)]
    (found,) = [n.value for n in assigned if getattr(n.targets[0], 'id', '') == '_base_']
    value = ast.literal_eval(found)
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize('name', [name for name in CONFIGS if '-test-' in name])
def test_a_config_for_tests_differs_in_nothing_that_is_trained(name):
    (sibling,) = bases(FOLDER / f'{name}.py')
    cfg, trained = load(name), load(Path(sibling).stem)
    for key in ('train_dataloader', 'optim_wrapper', 'param_scheduler', 'train_cfg', 'load_from'):
        assert cfg[key] == trained[key]
    changed = dict(trained.model.backbone, window_size=cfg.model.backbone.window_size)
    assert cfg.model.backbone.to_dict() == changed


@pytest.mark.parametrize('name', CONFIGS)
def test_what_is_loaded_is_what_another_config_trains(name):
    cfg = load(name)
    if cfg.load_from:
        folder, file = Path(cfg.load_from).parts[-2:]
        assert cfg.load_from.startswith('work_dirs/')
        assert file == f'epoch_{load(folder).train_cfg.max_epochs}.pth'


@pytest.mark.parametrize('name', CONFIGS)
def test_written_out_it_is_the_same(name, tmp_path):
    cfg = load(name)
    cfg.dump(tmp_path / 'written.py')
    assert Config.fromfile(tmp_path / 'written.py').to_dict() == cfg.to_dict()


@pytest.fixture(scope='module')
def clips(tmp_path_factory) -> Path:
    return write_clips(tmp_path_factory.mktemp('clips'), last=173)


@pytest.mark.parametrize('name', CONFIGS)
def test_one_training_step_and_one_test_step(name, clips, tmp_path):
    from swinv2_dense.cli.common import build_runner

    cfg = copy.deepcopy(load(name))
    narrow_recognizer(cfg.model)
    shrink_clips(cfg)
    use_clips(cfg, clips)
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.param_scheduler = None
    cfg.optim_wrapper.pop('accumulative_counts', None)
    cfg.work_dir, cfg.load_from = str(tmp_path), None
    cfg.pop('runner_type', None)  # sharding needs several processes: tests/distributed/test_fsdp.py
    cfg.pop('strategy', None)
    check_config(cfg, ('train', 'test'))
    views = math.prod(map(int, (NAME.fullmatch(name)['views'] or '4x3').split('x')))
    with DefaultScope.overwrite_default_scope('mmaction'):
        runner, snapshots = build_runner(cfg), Snapshots()
        runner.register_hook(snapshots)
        runner.train()
        before = snapshots.taken[0]
        changed = {n for n, p in runner.model.named_parameters() if not p.detach().equal(before[n])}
        for part in ('backbone.patch_embed', 'backbone.norm3', 'cls_head'):
            assert any(n.startswith(part) for n in changed), f'{part} did not learn'
        assert all(p.isfinite().all() for p in runner.model.parameters())
        metrics = runner.test()
        sample = runner.test_loop.dataloader.dataset[0]
    if 'giant' not in name or '-test-' in name:
        assert len(sample['inputs']) == (3 if 'sthv2' in name else views)
    else:
        assert len(sample['inputs']) == 1
    assert 0 <= metrics['acc/top1'] <= metrics['acc/top5'] <= 1


# ---------------------------------------------------------------------------------- the crops


def test_three_uniform_crops_are_those_of_mmaction():
    """In another order: mmaction2's are left, right, middle."""
    from mmaction.datasets.transforms import ThreeCrop

    from swinv2_dense.video import UniformCrops

    for shape in ((16, 30), (28, 16)):
        frames = [np.random.default_rng(i).integers(0, 255, (*shape, 3)) for i in range(2)]
        theirs = ThreeCrop(16)(dict(imgs=list(frames)))
        ours = UniformCrops(16, 3)(dict(imgs=list(frames)))
        assert ours['img_shape'] == theirs['img_shape'] == (16, 16)
        for i, j in enumerate([0, 1, 4, 5, 2, 3]):
            np.testing.assert_array_equal(ours['imgs'][i], theirs['imgs'][j])
            np.testing.assert_array_equal(ours['crop_bbox'][i], theirs['crop_bbox'][j])


def test_five_crops_by_hand():
    from swinv2_dense.video import UniformCrops

    frame = np.arange(48)[None, :, None].repeat(16, 0).repeat(3, 2)
    found = UniformCrops(16, 5)(dict(imgs=[frame]))
    assert [crop[0, 0, 0] for crop in found['imgs']] == [0, 8, 16, 24, 32]
    assert found['crop_bbox'].tolist()[1] == [8, 0, 24, 16]
    centre = UniformCrops(16, 1)(dict(imgs=[frame]))
    assert centre['crop_bbox'].tolist() == [[16, 0, 32, 16]]
    with pytest.raises(ValueError, match=r'crop_size=\(20, 20\) .* frames of 48 x 16'):
        UniformCrops(20, 3)(dict(imgs=[frame]))
