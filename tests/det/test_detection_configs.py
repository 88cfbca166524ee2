"""Every detection config: name and content agree, it states the paper's recipe, and it runs."""

from __future__ import annotations

import ast
import copy
import functools
import re
from pathlib import Path

import pytest
from coco_tree import write_tree
from commands import ROOT
from mmengine.config import Config
from mmengine.registry import DefaultScope
from narrow import narrow_model, shrink_images, use_data
from snapshots import Snapshots

from swinv2_dense.cli.common import check_config

pytest.importorskip('mmdet')
FOLDER = ROOT / 'configs' / 'detection'
CONFIGS = sorted(path.stem for path in FOLDER.glob('*.py'))
NAME = re.compile(
    r'(?P<method>[a-z+-]+)_swinv2-(?P<arch>[tsblg])-w(?P<window>\d+)_'
    r'(?P<gpus>\d+)xb(?P<batch>\d+)-(?P<tricks>(?:(?:bf16|fsdp|test)-)*)(?P<length>\d+)'
    r'(?P<unit>x|it)_(?P<dataset>coco|objects365v2)(?:-(?P<size>\d+))?'
)
METHODS = {  # model, box heads, with masks, with the semantic branch, with global attention
    'mask-rcnn': ('MaskRCNN', 'Shared2FCBBoxHead', True, False, False),
    'cascade-mask-rcnn': ('CascadeRCNN', 'Shared4Conv1FCBBoxHead', True, False, False),
    'htc': ('HybridTaskCascade', 'Shared2FCBBoxHead', True, False, False),
    'htc++': ('HybridTaskCascade', 'Shared4Conv1FCBBoxHead', True, True, True),
    'htc++-without-semantic': ('HybridTaskCascade', 'Shared4Conv1FCBBoxHead', True, False, True),
    'htc++-without-mask': ('HybridTaskCascade', 'Shared4Conv1FCBBoxHead', False, False, True),
}


@functools.cache
def load(name: str) -> Config:
    """Shared by the tests, which leave it as it is."""
    return Config.fromfile(FOLDER / f'{name}.py')


def listed(value) -> list:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize('name', CONFIGS)
def test_name_says_what_the_config_holds(name):
    cfg, said = load(name), NAME.fullmatch(name)
    assert said, 'not of the grammar {method}_swinv2-{arch}-w{window}_{gpus}xb{batch}-...'
    kind, box_head, with_masks, with_semantic, with_attention = METHODS[said['method']]
    model, roi_head = cfg.model, cfg.model.roi_head
    assert model.type == kind
    assert {head.type for head in listed(roi_head.bbox_head)} == {box_head}
    assert bool(roi_head.get('mask_head')) == with_masks
    assert bool(roi_head.get('semantic_head')) == with_semantic
    assert [part.type for part in listed(model.neck)] == ['GlobalAttention'] * with_attention + [
        'FPN'
    ]
    assert model.backbone.arch == said['arch']
    assert model.backbone.window_size == int(said['window'])
    assert cfg.train_dataloader.batch_size == int(said['batch'])
    batch = int(said['gpus']) * int(said['batch']) * cfg.optim_wrapper.get('accumulative_counts', 1)
    assert cfg.auto_scale_lr.base_batch_size == batch
    tricks = said['tricks'].split('-')
    assert ('bf16' in tricks) == (cfg.optim_wrapper.type == 'Bf16OptimWrapper')
    assert ('fsdp' in tricks) == (cfg.get('runner_type') == 'FlexibleRunner')
    assert ('test' in tricks) == ('tta_model' in cfg)
    length = int(said['length']) * (12 if said['unit'] == 'x' else 1)
    assert length == cfg.train_cfg['max_epochs' if said['unit'] == 'x' else 'max_iters']
    assert cfg.train_dataloader.dataset.type == (
        'CocoDataset' if said['dataset'] == 'coco' else 'Objects365V2Dataset'
    )
    assert longest_side(cfg, said['method']) == int(said['size'] or 1333)


def longest_side(cfg: Config, method: str) -> int:
    """Of training images in pixels; Objects365 is named by the paper's range of short sides."""
    found = []
    for step in ast_of(cfg.train_dataloader.dataset.pipeline):
        found += [max(step)] if method != 'htc++-without-mask' else [min(step)]
    return max(found)


def ast_of(pipeline: list) -> list[tuple]:
    """All (width, height) that resizes of a pipeline name."""
    text = repr([step for step in pipeline if 'Flip' not in step['type']])
    pairs = re.findall(r"'scales?': (\(\d+, \d+\)|\[[^\]]*\])", text)
    values = [ast.literal_eval(pair) for pair in pairs]
    return [p for value in values for p in ([value] if isinstance(value, tuple) else value)]


# Written from the paper (Table 3; appendices A1, A2), apart from the configs: lr, images per step,
# weight decay, multiplier of the backbone's lr, epochs or steps, shortest side at test.
RECIPES = {
    'cascade-mask-rcnn_swinv2-t-w16_8xb2-3x_coco': (1e-4, 16, 0.05, 1.0, 36, 800),
    'cascade-mask-rcnn_swinv2-t-w32_8xb2-3x_coco': (1e-4, 16, 0.05, 1.0, 36, 800),
    'htc++_swinv2-l-w32_32xb2-3x_coco-1536': (4e-4, 64, 0.05, 0.1, 36, 1100),
    'htc++_swinv2-l-w32_32xb2-fsdp-3x_coco-1536': (4e-4, 64, 0.05, 0.1, 36, 1100),
    'htc++_swinv2-l-w48_32xb2-test-3x_coco-1536': (4e-4, 64, 0.05, 0.1, 36, 1100),
    'htc++_swinv2-g-w32_48xb2-bf16-fsdp-45000it_coco-1536': (6e-4, 96, 0.05, 0.1, 45000, 1100),
    'htc++_swinv2-g-w48_48xb2-bf16-fsdp-test-45000it_coco-1536': (
        *(6e-4, 96, 0.05, 0.1, 45000, 1100),
    ),
    'htc++-without-mask_swinv2-g-w32_48xb2-bf16-fsdp-67500it_objects365v2-1024': (
        *(1.2e-3, 96, 0.05, 0.1, 67500, 1024),
    ),
}


@pytest.mark.parametrize('name', CONFIGS)
def test_recipe_is_the_papers(name):
    """Configs of our own take the optimizer of the paper's ablation at its batch."""
    epochs = load(name).train_cfg.get('max_epochs')
    ours = (1e-4, 16, 0.05, 1.0, epochs, 1400 if 'htc++' in name else 800)
    lr, batch, decay, multiplier, length, short_side = RECIPES.get(name, ours)
    cfg, said = load(name), NAME.fullmatch(name)
    wrapper = cfg.optim_wrapper
    assert wrapper.constructor == 'SwinV2OptimWrapperConstructor'
    assert wrapper.optimizer == dict(type='AdamW', lr=lr, betas=(0.9, 0.999), weight_decay=decay)
    assert wrapper.get('paramwise_cfg', {}).get('backbone_lr_mult', 1.0) == multiplier
    parts = wrapper.get('accumulative_counts', 1)
    assert int(said['gpus']) * int(said['batch']) * parts == batch
    assert length == cfg.train_cfg.get('max_epochs', cfg.train_cfg.get('max_iters'))
    (warm_up, steps) = cfg.param_scheduler
    assert (warm_up.end, steps.end) == (1000 * parts, length)
    assert [m / length for m in steps.milestones] == pytest.approx(
        [8 / 12, 11 / 12] if length == 12 else [27 / 36, 33 / 36]
    )
    (resize,) = [s for s in cfg.test_dataloader.dataset.pipeline if s.type == 'Resize']
    assert min(resize.scale) == short_side


@pytest.mark.parametrize('name', CONFIGS)
def test_top_comment_states_row_and_assumptions(name):
    comment = re.match(r'(#.*\n)+', (FOLDER / f'{name}.py').read_text())[0].replace('\n# ', ' ')
    if '-test-' in name or name in RECIPES:
        assert 'Table 1' in comment or 'Table 3' in comment or 'No AP is published' in comment
    if name in RECIPES and 'test' not in name and 'fsdp-3x' not in name:
        assert re.search('Assumed|assumed', comment) or 'No AP is published' in comment


def bases(path: Path) -> list[str]:
    assigned = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Assign)]
    (found,) = [n.value for n in assigned if getattr(n.targets[0], 'id', '') == '_base_']
    return listed(ast.literal_eval(found))


@pytest.mark.parametrize('name', CONFIGS)
def test_a_variant_is_short_and_no_variant_of_a_variant(name):
    path = FOLDER / f'{name}.py'
    siblings = [base for base in bases(path) if base.startswith('./')]
    lines = len(path.read_text().splitlines())
    assert lines <= (25 if siblings else 60)
    for sibling in siblings:
        assert not [base for base in bases(FOLDER / sibling) if base.startswith('./')]


@pytest.mark.parametrize('path', sorted(ROOT.glob('configs/_base_/*/*.py')), ids=lambda p: p.stem)
def test_fragments_are_short(path):
    assert len(path.read_text().splitlines()) <= 170


@pytest.mark.parametrize('name', CONFIGS)
def test_written_out_it_is_the_same(name, tmp_path):
    cfg = load(name)
    cfg.dump(tmp_path / 'written.py')
    assert Config.fromfile(tmp_path / 'written.py').to_dict() == cfg.to_dict()


@pytest.fixture(scope='module')
def trees(tmp_path_factory) -> dict[str, Path]:
    import mmdet.datasets as datasets

    kinds = (datasets.CocoDataset, datasets.Objects365V2Dataset)
    root = tmp_path_factory.mktemp('trees')
    return {
        kind.__name__: write_tree(root / kind.__name__, kind.METAINFO['classes']) for kind in kinds
    }


def small(name: str, trees: dict[str, Path]) -> Config:
    """The config in small: one step of training, one image in each test batch."""
    cfg = copy.deepcopy(load(name))
    narrow_model(cfg.model)
    shrink_images(cfg, 12)
    assert longest_side(cfg, '') <= 152
    use_data(cfg, trees[cfg.train_dataloader.dataset.type])
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=1, val_interval=1000)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.param_scheduler = None
    cfg.train_dataloader.update(sampler=dict(type='InfiniteSampler'), batch_size=2)
    cfg.train_dataloader.batch_sampler = None
    cfg.optim_wrapper.pop('accumulative_counts', None)
    cfg.default_hooks.logger.interval = 1
    cfg.load_from = None
    cfg.pop('runner_type', None)  # sharding needs several processes: tests/distributed/test_fsdp.py
    cfg.pop('strategy', None)
    return cfg


@pytest.mark.parametrize('name', CONFIGS)
def test_one_training_step_and_one_test_step(name, trees, tmp_path, monkeypatch):
    from swinv2_dense.cli.common import build_runner

    # The runner logs the config; formatting it takes longer than the steps.
    monkeypatch.setattr(Config, 'pretty_text', 'not formatted here')
    cfg = small(name, trees)
    cfg.work_dir = str(tmp_path)
    check_config(cfg, ('train', 'test'))
    with DefaultScope.overwrite_default_scope('mmdet'):
        runner, snapshots = build_runner(cfg), Snapshots()
        runner.register_hook(snapshots)
        runner.train()
        (before,) = snapshots.taken
        changed = {n for n, p in runner.model.named_parameters() if not p.detach().equal(before[n])}
        parts = ['backbone.patch_embed', 'backbone.norm3', 'neck', 'rpn_head', 'roi_head.bbox_head']
        parts += ['roi_head.mask_head'] if cfg.model.roi_head.get('mask_head') else []
        parts += ['roi_head.semantic_head'] if cfg.model.roi_head.get('semantic_head') else []
        for part in parts:
            assert any(n.startswith(part) for n in changed), f'{part} did not learn'
        assert all(p.isfinite().all() for p in runner.model.parameters())
        metrics = runner.test()
    kinds = ['bbox', 'segm'] if cfg.model.roi_head.get('mask_head') else ['bbox']
    assert all(f'coco/{kind}_mAP' in metrics for kind in kinds)
