"""Mixed precision, the checks before a run, and the table of results."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

from swinv2_dense.checks.files import check_files
from swinv2_dense.cli.common import check_config
from swinv2_dense.errors import ConfigError
from swinv2_dense.training.amp import enable_amp, run_amp_on_cpu
from swinv2_dense.training.results import metrics_table


def test_bf16_wrapper_trains_on_the_cpu_in_bf16():
    model = nn.Linear(4, 3)
    cfg = dict(type='Bf16OptimWrapper', optimizer=torch.optim.SGD(model.parameters(), lr=1.0))
    wrapper = OPTIM_WRAPPERS.build(cfg)
    before = model.weight.detach().clone()
    with wrapper.optim_context(model):
        out = model(torch.ones(2, 4))
    assert out.dtype == torch.bfloat16
    wrapper.update_params(out.float().sum())
    assert model.weight.dtype == torch.float32
    # d(sum)/dW = 2 for two rows of ones, so W - 2 after a step of lr 1
    torch.testing.assert_close(model.weight, before - 2.0)


@pytest.mark.parametrize(
    'wrapper, has_cuda, expected',
    [
        (dict(type='OptimWrapper'), False, dict(type='Bf16OptimWrapper')),
        (dict(type='AmpOptimWrapper', loss_scale=512.0), False, dict(type='Bf16OptimWrapper')),
        (dict(type='OptimWrapper'), True, dict(type='AmpOptimWrapper', loss_scale='dynamic')),
        (dict(type='Bf16OptimWrapper'), True, dict(type='Bf16OptimWrapper')),
    ],
)
def test_amp_flag(wrapper, has_cuda, expected):
    cfg = ConfigDict(optim_wrapper=wrapper)
    enable_amp(cfg, has_cuda)
    assert cfg.optim_wrapper == expected


def test_amp_configs_run_on_the_cpu():
    for given, expected in (('AmpOptimWrapper', 'Bf16OptimWrapper'), ('OptimWrapper',) * 2):
        cfg = ConfigDict(optim_wrapper=dict(type=given))
        run_amp_on_cpu(cfg)
        assert cfg.optim_wrapper.type == expected


def config(tmp_path, **changes) -> ConfigDict:
    """A sound config; `changes` by dotted key."""
    for folder in ('annotations', 'train', 'val'):
        (tmp_path / folder).mkdir(exist_ok=True)
    for part in ('train', 'val'):
        (tmp_path / 'annotations' / f'{part}.json').write_text('{}')

    def dataset(part: str) -> dict:
        return dict(
            data_root=str(tmp_path),
            ann_file=f'annotations/{part}.json',
            data_prefix=dict(img=f'{part}/'),
        )

    cfg = ConfigDict(
        default_scope='mmdet',
        load_from=None,
        model=dict(
            backbone=dict(type='SwinTransformerV2', arch='t', window_size=8),
            neck=dict(type='FPN', in_channels=[96, 192, 384, 768]),
        ),
        train_dataloader=dict(dataset=dict(type='RepeatDataset', dataset=dataset('train'))),
        val_dataloader=dict(dataset=dataset('val')),
        val_evaluator=dict(ann_file=str(tmp_path / 'annotations' / 'val.json')),
    )
    for key, value in changes.items():
        *path, last = key.split('.')
        node = cfg
        for name in path:
            node = node[name]
        node[last] = value
    return cfg


def test_a_sound_config_passes(tmp_path):
    check_config(config(tmp_path), ('train', 'val'))


@pytest.mark.parametrize(
    'changes',
    [
        dict(data_root='s3://bucket/coco'),
        dict(data_root='data/coco', backend_args=dict(backend='petrel')),
        dict(ann_file=['a.json', 'b.json']),
        dict(ann_file='', data_prefix=None),
        dict(data_prefix=dict(img='', seg=None)),
    ],
    ids=str,
)
def test_paths_that_cannot_be_checked_pass(tmp_path, changes):
    cfg = config(
        tmp_path, **{f'train_dataloader.dataset.dataset.{k}': v for k, v in changes.items()}
    )
    check_config(cfg, ('train', 'val'))


BACKBONE = 'model.backbone.'
TRAIN = 'train_dataloader.dataset.dataset.'
MISTAKES = {
    'scope': ({'default_scope': None}, 'default_scope=None of .* one of mmdet, mmseg'),
    'arch': ({BACKBONE + 'arch': 'xl'}, r"model\.backbone: arch='xl' is unknown; choose one of t"),
    'window list': ({BACKBONE + 'window_size': [8] * 3}, r'=\[8, 8, 8\] has 3 entries for 4'),
    'argument': ({BACKBONE + 'window': 8}, r"model\.backbone: .*'window'"),
    'neck': (
        {'model.neck.in_channels': [256, 512, 1024, 2048]},
        r'neck\.in_channels=\[256, .* returns maps of \[96, 192, 384, 768\]',
    ),
    'second part of the neck': (
        {
            'model.neck': [
                dict(type='GlobalAttention', in_channels=[96, 192, 384, 768]),
                dict(type='FPN', in_channels=[128, 256, 512, 1024]),
            ]
        },
        r'neck\[1\]\.in_channels=\[128, .* returns maps of \[96, 192, 384, 768\]',
    ),
    'checkpoint': (
        {BACKBONE + 'init_cfg': dict(type='Pretrained', checkpoint='no/such.pth')},
        r"model\.backbone\.init_cfg\.checkpoint='no/such\.pth': there is no such file",
    ),
    'load_from': ({'load_from': 'gone.pth'}, "load_from='gone.pth': there is no such file"),
    'data root': (
        {TRAIN + 'data_root': 'data/coco'},
        r"dataloader\.dataset\.dataset\.data_root='data/coco': there is no such folder.*README",
    ),
    'annotations': ({TRAIN + 'ann_file': 'x.json'}, r"dataset\.ann_file='.*x\.json'.*--cfg-"),
    'images': ({TRAIN + 'data_prefix': dict(img='t/')}, r"data_prefix\.img='.*t/': .*no such"),
    'evaluator': ({'val_evaluator.ann_file': 'v.json'}, r"val_evaluator\.ann_file='v\.json'"),
}


@pytest.mark.parametrize('changes, message', MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_named_before_anything_starts(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        check_config(config(tmp_path, **changes), ('train', 'val'))


@pytest.mark.parametrize(
    'head, message',
    [
        (dict(in_index=[0, 1, 2, 3], in_channels=[96, 192, 384, 768]), None),
        (dict(in_index=2, in_channels=384), None),
        (dict(in_channels=[96, 192, 384, 768]), None),  # mmseg's Mask2Former
        (dict(in_channels=768), None),
        (dict(in_index=[0, 1, 2, 3], in_channels=[64, 128, 256, 512]), r'it must be \[96, 192'),
        (dict(in_index=2, in_channels=1024), r'in_channels=\[1024\] with in_index=\[2\]'),
        (dict(in_index=4, in_channels=768), r'in_index=\[4\], but model\.backbone returns'),
    ],
)
def test_heads_without_a_neck(tmp_path, head, message):
    cfg = config(tmp_path)
    del cfg.model['neck']
    cfg.model.decode_head = head
    if message is None:
        check_config(cfg, ())
    else:
        with pytest.raises(ConfigError, match=r'model\.decode_head\.' + '.*' + message):
            check_config(cfg, ())


def test_what_mm_accepts_passes(tmp_path):
    cfg = config(tmp_path, **{'model.neck.in_channels': [768, 384, 192, 96]})  # YOLOV3Neck's order
    parts = [dict(type='Reduce', in_channels=[96, 192, 384, 768]), dict(in_channels=[64] * 4)]
    check_config(config(tmp_path, **{'model.neck': parts}), ())
    dataset = cfg.train_dataloader.dataset.dataset
    dataset.ann_file = str(tmp_path / 'annotations' / 'train.json')
    dataset.update(data_root='unused', data_prefix=dict(img=str(tmp_path / 'train')))
    check_config(cfg, ('train', 'val'))
    cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint='gone.pth')
    check_config(cfg, ('val',))  # testing initializes no weights


def test_each_evaluator_of_a_list_is_checked(tmp_path):
    cfg = config(tmp_path, val_evaluator=[dict(type='A'), dict(type='B', ann_file='gone.json')])
    with pytest.raises(ConfigError, match=r"val_evaluator\.ann_file='gone\.json'"):
        check_config(cfg, ('val',))


class Listed:
    """A dataset with the interface of mmengine's BaseDataset."""

    def __init__(self, *infos: dict) -> None:
        self.infos = infos

    def __len__(self) -> int:
        return len(self.infos)

    def get_data_info(self, index: int) -> dict:
        return self.infos[index]


class ConcatDataset:
    """A wrapper like mmengine's, which also forwards `get_data_info`."""

    def __init__(self, datasets: list) -> None:
        self.datasets = datasets

    def get_data_info(self, index: int) -> dict:
        raise AssertionError('infos are read from the parts')


class Wrapped:
    def __init__(self, **parts) -> None:
        self.__dict__.update(parts)


def test_missing_images_and_maps_are_counted_through_wrappers(tmp_path):
    there = tmp_path / 'a.jpg'
    there.touch()
    sound = Listed(dict(img_path=str(there)), dict(filename='s3://bucket/clip.mp4'))
    check_files('train_dataloader', Wrapped(dataset=sound))
    broken = Listed(dict(img_path=str(there), seg_map_path='b.png'), dict(img_path='c.jpg'))
    with pytest.raises(ConfigError, match=r'val_dataloader: 2 annotated files .* first b\.png'):
        check_files('val_dataloader', ConcatDataset([sound, Wrapped(dataset=broken)]))
    without = Listed(dict(img_path=str(there), seg_map_path='b.png'))
    with pytest.raises(ConfigError, match=r'1 images have no label map, first b\.png\. Add the'):
        check_files('val_dataloader', without)
    with pytest.raises(
        ConfigError, match=r'1 annotated files .* first c\.jpg.*that it is complete\.$'
    ):
        check_files('val_dataloader', Listed(dict(img_path='c.jpg')))


def test_metrics_table():
    table = metrics_table({'coco/bbox_mAP': 0.51234, 'epoch': 3})
    assert '  coco/bbox_mAP  0.5123\n  epoch          3\n' in table
