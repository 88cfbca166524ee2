"""`--cfg-options` with a key that nothing reads is an error with a suggestion."""

from __future__ import annotations

import argparse
import copy

import pytest
from commands import ROOT
from mmengine.config import Config

from swinv2_dense.checks.config_types import check_types
from swinv2_dense.checks.options import OptionsAction, merge_options
from swinv2_dense.cli.common import read_config
from swinv2_dense.errors import ConfigError

DETECTOR = str(ROOT / 'configs/detection/mask-rcnn_swinv2-t-w16_1xb4-bf16-1x_coco.py')
GOOD = [
    *('model.backbone.with_cp=True', 'model.backbone.arch=s', 'model.backbone.init_cfg=None'),
    *('model.roi_head.bbox_head.num_classes=3', 'model.data_preprocessor.mean=[1,2,3]'),
    *('model.test_cfg.rcnn.score_thr=0.1', 'model.test_cfg.rcnn.nms.class_agnostic=True'),
    *('model.train_cfg.rpn.assigner.pos_iou_thr=0.8', 'train_dataloader.dataset.indices=4'),
    *('train_dataloader.batch_size=1', 'train_dataloader.pin_memory=False'),
    *('train_dataloader.dataset.pipeline.2.scale=(64,64)', 'val_dataloader=None'),
    *('train_dataloader.dataset.metainfo.classes=[a,b]', 'train_dataloader.sampler.shuffle=False'),
    *('load_from=x.pth', 'resume=True', 'work_dir=x', 'randomness.seed=1', 'log_level=ERROR'),
    *('optim_wrapper.accumulative_counts=4', 'optim_wrapper.optimizer.fused=True'),
    *('optim_wrapper.clip_grad.max_norm=1', 'optim_wrapper.paramwise_cfg.layer_decay=0.9'),
    *('default_hooks.checkpoint.max_keep_ckpts=2', 'default_hooks.new.type=EarlyStoppingHook'),
    *('val_evaluator.classwise=True', 'env_cfg.cudnn_benchmark=True', 'custom_hooks=[]'),
    *('env_cfg.dist_cfg.timeout=3', 'visualizer.vis_backends.0.save_dir=x', 'compile=True'),
    *('find_unused_parameters=True', 'sync_bn=torch', 'model_wrapper_cfg.broadcast_buffers=True'),
    *('param_scheduler.0.end=30', 'param_scheduler.1.milestones=[3]', 'train_cfg.val_begin=3'),
    *('auto_scale_lr.enable=True', 'log_processor.window_size=5', 'tta_model=None'),
    'model.backbone._delete_=True model.backbone.type=ResNet model.backbone.depth=50',
    'train_dataloader.dataset.backend_args._delete_=True '
    'train_dataloader.dataset.backend_args.backend=local',
]
BAD = {
    'data_root=x': 'set train_dataloader.dataset.data_root, val_dataloader.dataset.data_root, '
    'test_dataloader.dataset.data_root',
    'train_pipeline.2.scale=(4,4)': 'train_dataloader.dataset.pipeline.2.scale',
    'trian_dataloader.batch_size=2': "did you mean 'train_dataloader.batch_size'?",
    'load_form=x': "did you mean 'load_from'?",
    'lr=0.1': "did you mean 'optim_wrapper.optimizer.lr'?",
    'batch_size=2': "did you mean 'train_dataloader.batch_size'?",
    'backbone.arch=s': "did you mean 'model.backbone.arch'?",
    'data.samples_per_gpu=4': 'it is train_dataloader.batch_size',
    'data.workers_per_gpu=4': 'it is train_dataloader.num_workers',
    'data.train.ann_file=x': 'it is train_dataloader.dataset.ann_file',
    'optimizer.lr=1': 'it is optim_wrapper.optimizer.lr',
    'optimizer_config.grad_clip.max_norm=1': 'it is optim_wrapper.clip_grad.max_norm',
    'lr_config.step=[8]': 'it is param_scheduler.step',
    'runner.max_epochs=3': 'it is train_cfg.max_epochs',
    'total_epochs=3': 'it is train_cfg.max_epochs',
    'evaluation.interval=1': 'it is train_cfg.val_interval',
    'checkpoint_config.interval=1': 'it is default_hooks.checkpoint.interval',
    'log_config.interval=1': 'it is default_hooks.logger.interval',
    'resume_from=x': 'it is --resume CHECKPOINT',
    'seed=1': 'it is randomness.seed',
    'fp16.loss_scale=1': 'it is --amp',
    'launcher=pytorch': 'use --launcher',
    'default_hooks.chekpoint.interval=1': "did you mean 'checkpoint'?",
    'model.test_cfg.rcnn.score_thrr=0.3': "did you mean 'score_thr'?",
    'model.train_cfg.rpn.asigner.type=x': "did you mean 'assigner'?",
    'train_dataloader.dataset.pipeline.9.x=1': 'is a list of 5; its keys are 0 to 4',
    'train_dataloader.dataset.pipeline.x=1': 'is a list of 5; its keys are 0 to 4',
    'model.neck.0.num_outs=5': 'model.neck is a dict, not a list; leave out .0',
    'model.backbone.arch.depths=[1]': "model.backbone.arch is 't', not a dict",
    'train_dataloader.dataset.backend_args.backend=x': 'backend_args is None, not a dict',
    'work_dir=x work_dir.y=1': 'work_dir is also given',
}


@pytest.fixture(scope='module')
def detector() -> Config:
    pytest.importorskip('mmdet')
    return read_config(DETECTOR)


def parsed(text: str) -> dict:
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=OptionsAction)
    return parser.parse_args(['--cfg-options', *text.split()]).cfg_options


@pytest.mark.parametrize('text', GOOD)
def test_valid_input_passes(text, detector):
    cfg, options = copy.deepcopy(detector), parsed(text)
    merge_options(cfg, options)
    check_types(cfg, options=options)
    for key, value in options.items():
        part = cfg
        for step in key.split('.'):
            part = part.get(step) if hasattr(part, 'get') else part[int(step)]
        assert part == value or key.endswith('_delete_')


@pytest.mark.parametrize('text', BAD)
def test_unread_keys_are_errors(text, detector):
    with pytest.raises(ConfigError) as error:
        merge_options(copy.deepcopy(detector), parsed(text))
    assert BAD[text] in str(error.value)
    assert str(error.value).startswith(f'--cfg-options {text.split()[-1].partition("=")[0]}=')


def test_a_variable_of_the_config_file():
    cfg = Config(
        dict(
            default_scope='mmseg',
            crop_size=(64, 64),
            data_preprocessor=dict(size=(64, 64)),
            model=dict(type='X', data_preprocessor=dict(size=(64, 64))),
            train_dataloader=dict(dataset=dict(pipeline=[dict(type='Crop', size=(64, 64))])),
        )
    )
    with pytest.raises(ConfigError, match=r'set .*train_dataloader\.dataset\.pipeline\.0\.size'):
        merge_options(cfg, {'crop_size': (32, 32)})
    with pytest.raises(ConfigError, match=r'set model\.data_preprocessor\.size'):
        merge_options(cfg, {'data_preprocessor.size': (32, 32)})


@pytest.mark.parametrize('text', ['a', 'a.=3', '=3', 'a=[1,(2'])
def test_what_is_not_an_option(text, capsys):
    with pytest.raises(SystemExit) as end:
        parsed(text)
    assert end.value.code == 2
    assert '--cfg-options' in capsys.readouterr().err.splitlines()[-1]
