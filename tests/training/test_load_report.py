"""Reports and errors when the weights of another model are loaded."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
import torch
from commands import ROOT, run_here
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import BaseLoop
from mmengine.runner.checkpoint import _load_checkpoint_to_model
from torch import nn
from torch.testing import assert_close

from swinv2_dense import SwinTransformerV1
from swinv2_dense.errors import CheckpointError
from swinv2_dense.quickstart.shapes import ShapesSpec, write_dataset
from swinv2_dense.training import load_report
from swinv2_dense.training.load_report import LoadReportHook, Shapes, describe_changes, parts_of


class Loop(BaseLoop):
    """A built loop, as in a runner that trains."""

    def __init__(self) -> None:
        pass

    def run(self) -> None:
        raise AssertionError


class BoxHead(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.shared = nn.Linear(5, 5)
        self.norm = nn.BatchNorm1d(5)
        self.fc_cls = nn.Linear(5, num_classes + 1)
        self.fc_reg = nn.Linear(5, 4 * num_classes)


class Detector(nn.Module):
    """The parts of a cascade that matter for loading."""

    def __init__(self, num_classes: int, has_masks: bool = True) -> None:
        super().__init__()
        self.neck = nn.Linear(5, 5)
        self.roi_head = nn.Module()
        self.roi_head.bbox_head = nn.ModuleList([BoxHead(num_classes)])
        if has_masks:
            self.roi_head.mask_head = nn.ModuleList([nn.Linear(5, 5), nn.Linear(5, 5)])
            self.roi_head.semantic_head = nn.Linear(5, 183, bias=False)


REPORT = """Loaded weights from objects365.pth
  matched: 8 parameters
  reinitialized, missing in the checkpoint:
    roi_head.mask_head (4 parameters)
    roi_head.semantic_head (1 parameter)
  reinitialized, different shape in the checkpoint:
    roi_head.bbox_head.0.fc_cls: 366 -> 81 rows: 365 -> 80 classes
    roi_head.bbox_head.0.fc_reg: 1460 -> 320 rows: 365 -> 80 classes
  not used, not part of the model:
    mask_iou (1 parameter)
    neck.extra (2 parameters)"""


def load(model: nn.Module, checkpoint: dict, loop: object, resume: bool = False) -> None:
    """Load as mmengine's runner does: hooks, then the weights that fit."""
    runner = SimpleNamespace(
        model=model, _load_from='objects365.pth', _resume=resume, _train_loop=loop
    )
    hook = LoadReportHook()
    hook.after_load_checkpoint(runner, checkpoint)
    _load_checkpoint_to_model(model, checkpoint, strict=False)
    hook.before_train(runner)


@pytest.fixture
def said(monkeypatch) -> list:
    """(message, level) of the log records of the hook and of mmengine's loader."""
    logged = []
    for module in (load_report, 'mmengine.runner.checkpoint'):
        target = (module, 'print_log') if module is load_report else (f'{module}.print_log',)
        monkeypatch.setattr(
            *target, lambda message, logger=None, level=None: logged.append((message, level))
        )
    return logged


def test_other_classes_and_new_branches_are_reported(said):
    source, model = Detector(365, has_masks=False), Detector(80)
    nn.init.normal_(source.roi_head.bbox_head[0].norm.running_mean)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    given = dict(source.state_dict())
    unused = {'neck.extra.weight': torch.ones(1), 'neck.extra.bias': torch.ones(1)}
    state = given | unused | {'mask_iou': torch.ones(1)}
    # Some old releases lack the batch counters.
    state.pop('roi_head.bbox_head.0.norm.num_batches_tracked')
    load(model, dict(state_dict=state), Loop())
    assert said == [(REPORT, logging.WARNING)]
    anew = ('fc_cls', 'fc_reg', 'mask_head', 'semantic_head', 'num_batches')
    for key, value in model.state_dict().items():
        kept = any(part in key for part in anew)
        assert_close(value, before[key] if kept else given[key], atol=0, rtol=0)


def test_weights_that_fit_cause_no_warning(said):
    source, model = Detector(80), Detector(80)
    load(model, dict(state_dict=source.state_dict()), Loop())
    ((message, level),) = said
    assert level == logging.INFO
    assert message.count(': none') == 3
    assert_close(dict(model.state_dict()), dict(source.state_dict()), atol=0, rtol=0)
    model.load_state_dict(source.state_dict())  # not a load of the run: no second report
    assert len(said) == 1


def test_it_is_an_error_in_testing(said):
    with pytest.raises(CheckpointError) as raised:
        load(Detector(80), dict(state_dict=Detector(365, has_masks=False).state_dict()), dict())
    assert str(raised.value) == (
        'checkpoint objects365.pth does not fit the model, parts of which would be random: '
        'roi_head.mask_head (4 parameters), roi_head.semantic_head (1 parameter), '
        'roi_head.bbox_head.0.fc_cls: 366 -> 81 rows: 365 -> 80 classes, '
        'roi_head.bbox_head.0.fc_reg: 1460 -> 320 rows: 365 -> 80 classes. '
        'Does the config match the one that was trained?'
    )
    # Neither unused weights nor heads that only losses use affect predictions.
    load(Detector(80, has_masks=False), dict(state_dict=Detector(80).state_dict()), dict())
    segmentor = nn.ModuleDict(dict(decode_head=nn.Linear(2, 2), auxiliary_head=nn.Linear(2, 2)))
    state = {k: v for k, v in segmentor.state_dict().items() if 'auxiliary' not in k}
    load(segmentor, dict(state_dict=state), dict())


@pytest.mark.parametrize('source', [Detector(365), Detector(80, has_masks=False)])
def test_it_is_an_error_in_resuming(source):
    with pytest.raises(CheckpointError, match=r'of another model.* roi_head.*load_from=CHECKPOINT'):
        load(Detector(80), dict(state_dict=source.state_dict()), Loop(), resume=True)


@pytest.mark.parametrize(
    'own, num_classes, file, expected',
    [
        (81, 80, 366, '366 -> 81 rows: 365 -> 80 classes'),  # softmax, with background
        (80, 80, 365, '365 -> 80 rows: 365 -> 80 classes'),  # sigmoid, masks, pixels
        (320, 80, 1460, '1460 -> 320 rows: 365 -> 80 classes'),  # boxes per class
        (2, 1, 81, '81 -> 2 rows: 80 -> 1 classes'),
        (4, 1, 320, '320 -> 4 rows: 80 -> 1 classes'),
        (12, 3, 320, '320 -> 12 rows: 80 -> 3 classes'),
        (720, 80, 27, '27 -> 720 rows: 3 -> 80 classes'),  # nine anchors
        (1024, 80, 512, '512 -> 1024 rows'),
        (320, 80, 7, '7 -> 320 rows'),
    ],
)
def test_classes_are_recognized_by_rows(own, num_classes, file, expected):
    model = nn.Module()
    model.head = nn.Module()
    model.head.num_classes, model.head.num_base_priors = num_classes, 9
    model.head.fc = nn.Linear(5, own)
    changes = describe_changes(
        {
            'head.fc.weight': Shapes(torch.Size([file, 5]), torch.Size([own, 5])),
            'head.fc.bias': Shapes(torch.Size([file]), torch.Size([own])),
        },
        model,
    )
    assert changes == {'head.fc': expected}


def test_other_shapes_are_given():
    shapes = [(3, 5), (3, 7)], [(), (1,)], [(1, 3, 1, 1), (1, 3)]
    reshaped = {
        f'neck.{i}.weight': Shapes(torch.Size(file), torch.Size(own))
        for i, (file, own) in enumerate(shapes)
    }
    assert describe_changes(reshaped, nn.Module()) == {
        'neck.0': '(3, 5) -> (3, 7)',
        'neck.1': '() -> (1,)',
        'neck.2': '(1, 3, 1, 1) -> (1, 3)',
    }


def test_parts_are_the_largest_without_others():
    names = ['a.x.0.w', 'a.x.1.w', 'a.y', 'b.w']
    assert parts_of(names, []) == ['a (3 parameters)', 'b (1 parameter)']
    others = ['a.z.w', 'c']
    assert parts_of(names, others) == [
        'a.x (2 parameters)',
        'a.y (1 parameter)',
        'b (1 parameter)',
    ]


# ------------------------------------------------------------------------------- through the tools


@pytest.fixture(scope='module')
def stage1(tmp_path_factory) -> tuple:
    """The quickstart's data, and a checkpoint of its detector without masks, for other classes."""
    pytest.importorskip('mmdet')
    import mmdet.models  # noqa: F401
    from mmdet.registry import MODELS

    import swinv2_dense.det  # noqa: F401

    root = tmp_path_factory.mktemp('stages')
    write_dataset(root, ShapesSpec(train=2, val=1))
    (config,) = ROOT.glob('configs/quickstart/htc*.py')
    cfg = Config.fromfile(config)
    head = cfg.model.roi_head
    for name in ('mask_head', 'mask_roi_extractor', 'semantic_head', 'semantic_roi_extractor'):
        head[name] = None
    head.interleaved = False
    for box_head in head.bbox_head:
        box_head.num_classes = 365
    init_default_scope('mmdet')
    model = MODELS.build(cfg.model)
    torch.save(dict(state_dict=model.state_dict(), meta={}), root / 'stage1.pth')
    parts = ('train', 'val', 'test')
    options = [
        *(f'{part}_dataloader.dataset.data_root={root}/' for part in parts),
        *(f'{part}_dataloader.num_workers=0' for part in parts),
        *(f'{part}_dataloader.persistent_workers=False' for part in parts),
        *(f'{p}_evaluator.ann_file={root}/annotations/instances_val.json' for p in parts[1:]),
        *('train_cfg.max_iters=2', 'train_dataloader.batch_size=2'),
        'default_hooks.checkpoint.interval=2',
    ]
    return config, root / 'stage1.pth', options


@pytest.mark.filterwarnings('ignore')  # from libraries imported here first
def test_the_second_stage_of_objects365(stage1, tmp_path):
    config, checkpoint, options = stage1
    words = [config, '--no-validate', '--work-dir', tmp_path, '--cfg-options', *options]
    result = run_here('train', *words, f'load_from={checkpoint}')
    assert result.returncode == 0, result.stderr[-3000:]
    printed = result.stdout + result.stderr
    assert 'LinearLR from 0 to 30 iterations becomes' in printed  # a run of 2
    report = printed[printed.index(f'Loaded weights from {checkpoint}') :]
    for stage in range(3):
        assert f'roi_head.bbox_head.{stage}.fc_cls: 366 -> 7 rows: 365 -> 6 classes' in report
    assert 'roi_head.mask_head (' in report and 'roi_head.semantic_head (' in report
    assert 'do not match exactly' not in printed  # mmengine's list
    assert (tmp_path / 'iter_2.pth').is_file()
    result = run_here('test', config, checkpoint, '--work-dir', tmp_path, '--cfg-options', *options)
    assert result.returncode == 2
    (line,) = [line for line in result.stderr.splitlines() if line.startswith('error: ')]
    assert 'parts of which would be random: roi_head.mask_head (' in line
    fewer = [f'model.roi_head.bbox_head.{stage}.num_classes=5' for stage in range(3)]
    fewer += [f'model.roi_head.mask_head.{stage}.num_classes=5' for stage in range(3)]
    result = run_here('train', '--resume', tmp_path / 'iter_2.pth', *words, *fewer)
    assert result.returncode == 2


def test_bias_tables_of_another_window_are_interpolated() -> None:
    """Testing Swin V1 at another window than it was trained with loads all of it."""

    def detector(window: int) -> nn.Module:
        model, arch = nn.Module(), dict(embed_dims=8, depths=(1,), num_heads=(2,))
        model.backbone = SwinTransformerV1(arch, window_size=window, out_indices=(0,))
        return model

    source, target = detector(4), detector(6)
    expected = SwinTransformerV1(
        dict(embed_dims=8, depths=(1,), num_heads=(2,)), window_size=6, out_indices=(0,)
    )
    expected.load_state_dict(source.backbone.state_dict())
    load(target, dict(state_dict=source.state_dict()), loop=None)  # testing: a loss is an error
    for found, parameter in zip(target.backbone.parameters(), expected.parameters()):
        assert torch.equal(found, parameter)
