"""Types and arguments of configs are checked before anything is built."""

from __future__ import annotations

import copy
import importlib
from pathlib import Path

import pytest
from commands import ROOT
from mmengine import registry
from mmengine.config import Config
from mmengine.registry import DefaultScope

from swinv2_dense.checks.building import build_error, check_transforms
from swinv2_dense.checks.config_file import load_config_file
from swinv2_dense.checks.config_lines import Origin
from swinv2_dense.checks.config_types import check_part, check_types, find, parts_of
from swinv2_dense.checks.options import merge_options, misspelled_keys
from swinv2_dense.checks.signatures import accepted
from swinv2_dense.cli.common import read_config
from swinv2_dense.errors import ConfigError

CONFIGS = sorted((ROOT / 'configs').glob('[!_]*/*.py'))
DETECTOR = str(ROOT / 'configs/detection/mask-rcnn_swinv2-t-w16_1xb4-bf16-1x_coco.py')
# Changes of a good config, and what is said of them.
WRONG = {
    'model.type=MaskRCN': "='MaskRCN' is not a registered model; did you mean 'MaskRCNN'?",
    'model.backbone.type=SwinTransformerV3': "did you mean 'SwinTransformerV2'?",
    'model.rpn_head.anchor_generator.type=AnchorGen': "did you mean 'AnchorGenerator'?",
    'model.roi_head.bbox_head.loss_cls.type=CrossEntropy': "did you mean 'CrossEntropyLoss'?",
    'model.train_cfg.rpn.assigner.type=MaxIouAssigner': "did you mean 'MaxIoUAssigner'?",
    'train_dataloader.dataset.type=CocoDatset': "registered dataset; did you mean 'CocoDataset'?",
    'train_dataloader.dataset.pipeline.1.type=LoadAnotations': "did you mean 'LoadAnnotations'?",
    'val_dataloader.sampler.type=DefaltSampler': "data sampler; did you mean 'DefaultSampler'?",
    'default_hooks.logger.type=LogerHook': "registered hook; did you mean 'LoggerHook'?",
    'optim_wrapper.type=OptimWraper': "optim_wrapper; did you mean 'OptimWrapper'?",
    'optim_wrapper.optimizer.type=AdmW': "registered optimizer; did you mean 'AdamW'?",
    'optim_wrapper.constructor=SwinOptimWrapperConstructor': 'is not registered; did you mean',
    'param_scheduler.0.type=LinearRL': "did you mean 'LinearLR'?",
    'val_evaluator.type=CocoMetrics': "registered metric; did you mean 'CocoMetric'?",
    'visualizer.type=DetLocalVisualiser': "visualizer; did you mean 'DetLocalVisualizer'?",
    'train_cfg.type=EpochLoop': 'is not a registered loop',
    'train_dataloader.batch_sise=2': "no 'batch_sise'; did you mean 'batch_size'?",
    'train_dataloader.dataset.data_rot=x': "CocoDataset takes no 'data_rot'; did you mean",
    'train_dataloader.dataset.pipeline.1.with_boxx=True': "did you mean 'with_bbox'?",
    'train_dataloader.sampler.shufle=True': "DefaultSampler takes no 'shufle'; did you mean",
    'model.backbone.init_cfg.new_band=repeat': "PretrainedInit takes no 'new_band'",
    'model.backbone.windw_size=8': "no 'windw_size'; did you mean 'window_size'?",
    'model.roi_head.bbox_head.num_clases=8': "no 'num_clases'; did you mean 'num_classes'?",
    'optim_wrapper.optimizer.weigth_decay=0': "AdamW takes no 'weigth_decay'; did you mean",
    'optim_wrapper.paramwise_cfg.layer_decy=0.9': "did you mean 'layer_decay'?",
    'optim_wrapper.acumulative_counts=2': "did you mean 'accumulative_counts'?",
    'param_scheduler.1.gama=0.1': "MultiStepLR takes no 'gama'; did you mean 'gamma'?",
    'default_hooks.checkpoint.intervall=1': "did you mean 'interval'?",
    'val_evaluator.clasewise=True': "CocoMetric takes no 'clasewise'; did you mean 'classwise'?",
    'train_cfg.max_epoch=1': "EpochBasedTrainLoop takes no 'max_epoch'; did you mean 'max_epochs'?",
    'val_cfg.fp61=True': "ValLoop takes no 'fp61'; did you mean 'fp16'?",
    'randomness.sead=1': "did you mean 'seed'?",
    'env_cfg.cudnn_benchmak=True': "did you mean 'cudnn_benchmark'?",
    'auto_scale_lr.base_batchsize=8': "did you mean 'base_batch_size'?",
    'log_processor.windowsize=8': "did you mean 'window_size'?",
    'model.backbone.type=ResNet': 'add model.backbone._delete_=True to drop it',
    'default_hooks.new.interval=3': 'a new one needs default_hooks.new.type',
}


@pytest.fixture(scope='module')
def detector() -> Config:
    pytest.importorskip('mmdet')
    return read_config(DETECTOR)


@pytest.mark.parametrize('option', WRONG)
def test_a_type_or_an_argument_that_does_not_exist(option, detector):
    cfg = copy.deepcopy(detector)
    key, _, value = option.partition('=')
    with pytest.raises(ConfigError) as error:
        merge_options(cfg, {key: value})
        check_types(cfg, options=[key])
    assert WRONG[option] in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_file_and_line_of_a_mistake(tmp_path):
    pytest.importorskip('mmdet')
    base, own = tmp_path / 'base.py', tmp_path / 'own.py'
    base.write_text(
        "default_scope = 'mmdet'\n"
        'pipeline = [\n'
        "    dict(type='LoadImageFromFile'),\n"
        "    dict(type='LoadAnotations'),\n"
        ']\n'
        "dataset = dict(type='CocoDataset', pipeline=pipeline)\n"
        'train_dataloader = dict(dataset=dataset)\n'
    )
    own.write_text("_base_ = './base.py'\nval_evaluator = dict(\n    type='Coco')\n")
    with pytest.raises(ConfigError) as error:
        read_config(str(own))
    assert str(error.value).startswith(f'{base}, line 4: train_dataloader.dataset.pipeline.1.type=')
    with pytest.raises(ConfigError, match=r"own\.py, line 3: val_evaluator\.type='Coco'"):
        read_config(str(own), parts=['val_evaluator'])


def test_a_config_that_names_classes(tmp_path):
    pytest.importorskip('mmdet')
    own = tmp_path / 'own.py'
    text = (
        'from mmdet.datasets import CocoDataset\n'
        'from mmdet.models import RetinaNet\n'
        'model = dict(type=RetinaNet)\n'
        'val_dataloader = dict(dataset=dict(type=CocoDataset, {}="x"))\n'
    )
    own.write_text(text.format('data_root'))
    assert read_config(str(own)).default_scope == 'mmdet'
    own.write_text(text.format('dataroot'))
    with pytest.raises(ConfigError, match=r"line 4: .*no 'dataroot'; did you mean 'data_root'\?"):
        read_config(str(own))
    own.write_text(text.format('data_root').replace('RetinaNet', 'RetinaNett'))
    with pytest.raises(ConfigError, match=r'RetinaNett.*own\.py'):
        read_config(str(own))


class Base:
    def __init__(self, depth, **kwargs):
        self.rest = kwargs


class Closed(Base):
    def __init__(self, depth):
        super().__init__(depth)


class Passing(Closed):
    def __init__(self, width, **kwargs):
        self.name = kwargs.pop('label', None)
        super().__init__(**kwargs)


class Elsewhere(Closed):
    def __init__(self, width, **kwargs):
        super().__init__(1)
        self.rest = dict(**kwargs)


def test_arguments_are_those_of_the_classes_that_kwargs_reach():
    assert accepted(Base) is None  # it keeps them
    assert accepted(Closed) == {'depth'}
    assert accepted(Passing) == {'width', 'label', 'depth'}
    assert accepted(Elsewhere) is None
    assert accepted(test_a_config_that_names_classes) == {'tmp_path'}


@pytest.mark.parametrize('name', ['prefix', 'allow_missing', 'new_bands'])
def test_settings_of_pretrained_weights(name, detector):
    """The backbone takes more than mmengine's initializer; the neck does not."""
    cfg = copy.deepcopy(detector)
    merge_options(cfg, {f'model.backbone.init_cfg.{name}': 'zero'})
    check_types(cfg, ['model'])
    cfg.model.neck.init_cfg = dict(type='Pretrained', checkpoint='x.pth', new_bands='zero')
    with pytest.raises(ConfigError, match=r'neck\.init_cfg\.new_bands=.*takes no .new_bands'):
        check_types(cfg, ['model'])


def test_what_a_constructor_rejects():
    pytest.importorskip('mmdet')
    steps = [dict(type='LoadImageFromFile'), dict(type='RandomFlip', prob='often')]
    check_transforms('pipeline', steps[:1], 'mmdet')
    with pytest.raises(ConfigError, match=r'^pipeline\.1: RandomFlip cannot be built: .*line \d+'):
        check_transforms('pipeline', steps, 'mmdet')
    assert build_error(ValueError('of something else')) is None


def test_a_misspelled_top_level_key(detector):
    assert misspelled_keys(detector) == []
    cfg = Config(dict(detector.to_dict(), train_dataloadr=dict(), train_pipeline=[]))
    cfg.pop('train_dataloader')
    (line,) = misspelled_keys(cfg)
    assert line == "train_dataloadr in None is not read; did you mean 'train_dataloader'?"


def refused_parts(path: Path, library: str) -> list:
    """The parts of a library's config that the check rejects."""
    cfg = load_config_file(str(path))
    assert misspelled_keys(cfg) == []
    refused = []
    for key in cfg:
        for part in parts_of(key, cfg.get(key), cfg.get('default_scope') or library):
            try:
                check_part(part, Origin(None))
            except ConfigError:
                refused.append(part)
    return refused


@pytest.mark.parametrize('folder', ['detection', 'segmentation', 'video', 'quickstart'])
def test_a_config_of_each_kind_passes(folder):
    task = dict(detection='det', segmentation='seg').get(folder, 'video')
    importlib.import_module(f'swinv2_dense.{task}')
    newest = [path for path in CONFIGS if path.parent.name == folder and 'motions' in path.name]
    path = (newest or [path for path in CONFIGS if path.parent.name == folder])[-1]
    cfg = load_config_file(str(path))
    assert check_types(cfg) is None and misspelled_keys(cfg) == []


@pytest.mark.slow
def test_all_configs_pass():
    for task in ('det', 'seg', 'video'):
        importlib.import_module(f'swinv2_dense.{task}')
    for path in CONFIGS:
        check_types(load_config_file(str(path)))


def is_registered(name: str) -> bool:
    """Whether a registry of an imported library has a name, given with or without a scope."""
    scope, _, last = name.rpartition('.')
    roots = [root for root in vars(registry).values() if isinstance(root, registry.Registry)]
    own = [part for root in roots for part in (root, *root.children.values())]
    return any(last in part.module_dict for part in own if scope in ('', part.scope))


@pytest.mark.slow
@pytest.mark.parametrize('library, number', [('mmdet', 400), ('mmseg', 300), ('mmaction', 200)])
def test_rejected_parts_of_library_configs_cannot_be_built(library, number):
    """Their configs have real mistakes and parts of other packages; other parts must pass."""
    module = pytest.importorskip(library)
    importlib.import_module(dict(mmdet='swinv2_dense.det', mmseg='swinv2_dense.seg').get(
        library, 'swinv2_dense.video'))  # fmt: skip
    folder = Path(module.__file__).parent / '.mim' / 'configs'
    paths = [path for path in sorted(folder.rglob('*.py')) if '_base_' not in path.parts]
    checked = 0
    for path in paths:
        try:
            parts = refused_parts(path, library)
        except ConfigError as error:  # of a package that is not installed, or a missing file
            reasons = ('is not installed', 'there is no module', 'does not exist')
            assert any(reason in str(error) for reason in reasons), error
            continue
        checked += 1
        for part in parts:
            kind = find(part)
            if kind is None:
                assert not is_registered(part.kind)
                continue
            arguments = {k: v for k, v in part.settings.items() if k not in ('type', '_scope_')}
            arguments.pop('priority', None)
            with DefaultScope.overwrite_default_scope(part.scope), pytest.raises(Exception):  # noqa: B017
                kind(**copy.deepcopy(arguments))
    assert checked > number
