"""configs/ablations: each states its row of the paper, and changes nothing but the backbone."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest
import torch
import yaml
from commands import ROOT
from mmengine.config import Config
from mmengine.registry import MODELS

import swinv2_dense.classification  # noqa: F401  registers the backbones and the classifier
from swinv2_dense.arguments import V1, V2

FOLDER = ROOT / 'configs/ablations'
# Table 1, without the rows of log-CPB; Swin V1 from the READMEs of its official code.
TABLE_1 = {
    ('coco', 'table', 16): '50.8',
    ('coco', 'table', 32): '50.9',
    ('coco', 'linear', 16): '50.9',
    ('coco', 'linear', 32): '51.7',
    ('ade20k', 'table', 16): '45.5',
    ('ade20k', 'table', 20): '45.8',
    ('ade20k', 'table', 32): '44.5',
    ('ade20k', 'linear', 16): '47.0',
    ('ade20k', 'linear', 20): '47.4',
    ('ade20k', 'linear', 32): '47.2',
    ('coco', 'v1', 7): '50.4',
    ('ade20k', 'v1', 7): '44.51',
}
NAME = re.compile(
    r'[a-z-]+_swinv(?P<version>[12])-t-((?P<bias>table|linear)-)?w(?P<window>\d+)_8xb2-'
    r'(3x|160k)_(?P<data>coco|ade20k)(-512x512)?'
)
NARROW = dict(embed_dims=8, depths=(2, 1, 1, 1), num_heads=(1, 1, 2, 2))
# Top-1 on ImageNet-1K: of Tables 6 and 7 by size and part, in the order of the paper's columns.
TABLE_6 = dict(t=('81.5', '81.6', '81.7'), s=('83.2', '83.3', '83.6'), b=('83.6', '83.8', '84.1'))
TABLE_7 = {('s', 'sandwich'): '82.6', ('s', 'post-norm'): '83.3', ('b', 'post-norm'): '83.6'}
# Table 1 without / with fine-tuning, at windows 12, 16, 20 and 24.
TRANSFER = dict(
    table=('79.4 / 82.7', '77.2 / 83.0', '73.2 / 83.2', '68.7 / 83.2'),
    linear=('82.0 / 82.9', '81.2 / 83.3', '79.8 / 83.6', '77.6 / 83.7'),
    log=('82.4 / 83.2', '81.7 / 83.8', '80.4 / 84.0', '79.1 / 84.2'),
)
SIZES = {12: 384, 16: 512, 20: 640, 24: 768}
CLASSIFIER = re.compile(
    r'swinv(?P<version>[12])-(?P<arch>[tsb])-((?P<bias>table|linear|log)-)?((?P<part>[a-z-]+)-)?'
    r'w(?P<window>\d+)_(?P<tuned>w8-pre_)?(?P<gpus>\d+)xb(?P<batch>\d+)-bf16-(?P<epochs>\d+)e_'
    r'in1k-(?P<size>\d+)'
)
CLASSIFIERS = sorted(path.stem for path in FOLDER.glob('*in1k*.py'))
CONFIGS = sorted({path.stem for path in FOLDER.glob('*.py')} - set(CLASSIFIERS))


@functools.cache
def load(path: Path) -> Config:
    return Config.fromfile(path)


def row_of(name: str) -> tuple[str, str, int]:
    said = NAME.fullmatch(name)
    return said['data'], said['bias'] or f'v{said["version"]}', int(said['window'])


def test_every_row_has_a_config():
    assert sorted(map(row_of, CONFIGS)) == sorted(TABLE_1)


@pytest.mark.parametrize('name', CONFIGS)
def test_number_and_backbone_are_those_of_the_row(name):
    data, bias, window = row_of(name)
    path = FOLDER / f'{name}.py'
    comment = path.read_text().partition('_base_')[0]
    assert TABLE_1[data, bias, window] in comment
    assert re.search('Assumed', comment)
    row = f'[{name}]({name}.py) | {"Swin V1" if bias == "v1" else "Table 1"}'
    (line,) = [line for line in (FOLDER / 'README.md').read_text().splitlines() if row in line]
    assert TABLE_1[data, bias, window] in line
    cfg = Config.fromfile(path)
    with torch.device('meta'):
        backbone = MODELS.build(dict(cfg.model.backbone, init_cfg=None, arch=NARROW))
    assert backbone.parts == (V1 if bias == 'v1' else V2._replace(position_bias=bias))
    assert {stage.blocks[0].attn.window_size for stage in backbone.layers} == {(window, window)}
    reference = dict(
        coco='detection/cascade-mask-rcnn_swinv2-t-w16_8xb2-3x_coco.py',
        ade20k='segmentation/upernet_swinv2-t-w16_8xb2-160k_ade20k-512x512.py',
    )[data]
    expected = load(ROOT / 'configs' / reference)
    kept = {'type', 'window_size', 'position_bias', 'init_cfg'}
    for key in (set(cfg.model.backbone) | set(expected.model.backbone)) - kept:
        assert cfg.model.backbone[key] == expected.model.backbone[key]
    changed = {'model'} | ({'optim_wrapper'} if (data, bias) == ('ade20k', 'v1') else set())
    for key in set(expected) - changed:
        assert cfg[key] == expected[key]


def top1_of(said: re.Match) -> str:
    """The paper's number, or both of them, by the parts of a config's name."""
    arch, bias, part, window = said['arch'], said['bias'], said['part'], int(said['window'])
    if said['tuned']:
        return TRANSFER[bias][list(SIZES).index(window)]
    if (arch, part) in TABLE_7:
        return TABLE_7[arch, part]
    if bias == 'linear':
        return '81.7'
    return TABLE_6[arch][0 if said['version'] == '1' else 1 if part == 'dot' else 2]


def test_every_row_on_imagenet_has_a_config():
    """Table 1 has three biases at four larger windows; log-CPB at window 8 is in classification."""
    found = [CLASSIFIER.fullmatch(name) for name in CLASSIFIERS]
    tuned = {(m['bias'], int(m['window'])) for m in found if m['tuned']}
    assert tuned == {(bias, window) for bias in TRANSFER for window in SIZES}
    scratch = {(m['arch'], m['bias'], m['part']) for m in found if not m['tuned']}
    by_size = {(a, *rest) for a in 'tsb' for rest in [(None, None), ('table', 'dot')]}
    assert scratch == {
        *by_size,
        *((a, 'table', None) for a in 'tsb'),
        ('t', 'linear', None),
        *((arch, 'table', part) for arch, part in TABLE_7),
    }


@pytest.mark.parametrize('name', CLASSIFIERS)
def test_classifiers_are_those_of_the_row(name):
    said = CLASSIFIER.fullmatch(name)
    window, size, bias, part = int(said['window']), int(said['size']), said['bias'], said['part']
    top1 = top1_of(said)
    comment = (FOLDER / f'{name}.py').read_text().partition('_base_')[0]
    assert all(number in comment for number in top1.split(' / ')) and 'Assumed' in comment
    (line,) = [
        line for line in (FOLDER / 'README.md').read_text().splitlines() if f'[{name}]' in line
    ]
    assert line.startswith(f'| [{name}]({name}.py) | Table') and line.endswith(f'| {top1} |')
    cfg = load(FOLDER / f'{name}.py')
    (expected,) = cfg.expected
    assert expected.metric == 'acc/top1' and f'{100 * expected.value:.1f}' == top1.split(' / ')[-1]
    assert size == SIZES.get(window, 256) and int(said['gpus']) * int(said['batch']) == 1024
    assert cfg.train_dataloader.batch_size == int(said['batch'])
    with torch.device('meta'):
        backbone = MODELS.build(dict(cfg.model.backbone, init_cfg=None, arch=NARROW))
    changes = dict(position_bias=bias, similarity='dot' if part == 'dot' else 'cosine')
    if part in ('sandwich', 'post-norm'):
        changes['block'] = part
    assert backbone.parts == (V1 if said['version'] == '1' else V2._replace(**changes))
    assert {stage.blocks[0].attn.window_size for stage in backbone.layers} == {(window, window)}
    crops = {step.size for step in cfg.train_dataloader.dataset.pipeline if 'Crop' in step.type}
    tests = [step for step in cfg.test_dataloader.dataset.pipeline if step.type == 'Resize']
    assert crops == {size} and [step.scale for step in tests] == [(size, size)] * bool(
        said['tuned']
    )
    # The recipes are those of classification, see tests/test_configs.py.
    reference = (
        'swinv2-b-w24_in22k-pre_16xb64-bf16-30e_in1k-384'
        if said['tuned']
        else f'swinv2-{said["arch"]}-w8_8xb128-bf16-300e_in1k-256'
    )
    other = load(ROOT / f'configs/classification/{reference}.py')
    lr = 4e-5 if said['tuned'] else 2.5e-4 if (said['arch'], part) == ('b', 'post-norm') else 1e-3
    assert cfg.optim_wrapper.optimizer == dict(other.optim_wrapper.optimizer, lr=lr)
    for key in ('param_scheduler', 'train_cfg', 'val_evaluator', 'auto_scale_lr'):
        assert cfg[key] == other[key]
    assert cfg.model.backbone.drop_path_rate == dict(t=0.2, s=0.3, b=0.5)[said['arch']]
    assert (
        cfg.model.head
        == load(
            ROOT / f'configs/classification/swinv2-{said["arch"]}-w8_8xb128-bf16-300e_in1k-256.py'
        ).model.head
    )


def test_the_metafile_lists_every_row():
    """Names, configs, rows and numbers are those of README.md."""
    text = (FOLDER / 'README.md').read_text()
    rows = re.findall(r'^\| \[(\S+)\]\(\S+\) \| (.+) \| (.+) \|$', text, re.M)
    models = yaml.safe_load((FOLDER / 'metafile.yml').read_text())['Models']
    assert [(m['Name'], *m['Published'].values()) for m in models] == rows
    assert sorted(name for name, *_ in rows) == sorted(CONFIGS + CLASSIFIERS)
    assert all(m['Config'] == f'configs/ablations/{m["Name"]}.py' for m in models)
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    assert 'configs/ablations/metafile.yml' in index['Import']


@pytest.mark.parametrize('bias', TRANSFER)
def test_classifiers_start_from_window_8(bias, tmp_path):
    """Backbone and head load, by `init_cfg` and as tools/test.py does; tables are interpolated."""
    (name,) = [n for n in CLASSIFIERS if n.startswith(f'swinv2-t-{bias}-w12')]
    model = load(FOLDER / f'{name}.py').model
    settings = dict(arch=NARROW, drop_path_rate=0.0)
    narrow = dict(
        model,
        data_preprocessor=None,
        backbone=dict(model.backbone, **settings),
        head=dict(model.head, in_channels=64, num_classes=5),
    )
    small = MODELS.build(
        dict(narrow, init_cfg=None, backbone=dict(narrow['backbone'], window_size=8))
    )
    for parameter in small.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    torch.save(dict(state_dict=small.state_dict()), tmp_path / 'w8.pth')
    source = dict(type='Pretrained', checkpoint=str(tmp_path / 'w8.pth'))
    tuned = MODELS.build(dict(narrow, init_cfg=source))
    tuned.init_weights()
    tested = MODELS.build(dict(narrow, init_cfg=None))
    tested.load_state_dict(small.state_dict())
    image = torch.randn(1, 3, 384, 384)
    maps = [one.backbone.eval()(image)[0] for one in (tuned, tested)]
    assert torch.equal(*maps) and torch.equal(tuned.head.fc.weight, small.head.fc.weight)
    own, before = (m.backbone.layers[0].blocks[0].attn.position_bias for m in (tuned, small))
    assert own.pretrained_window_size == ((12, 12) if bias == 'table' else (8, 8))
    center = own((12, 12))[:, 11, 11] - before((8, 8))[:, 7, 7]
    assert center.abs().max() < (0.05 if bias == 'table' else 1e-6)


@pytest.mark.parametrize('version', [1, 2])
def test_backbones_of_the_configs_learn(version):
    """A step of a narrow copy changes every parameter, the tables of biases too."""
    name = next(name for name in CONFIGS if f'swinv{version}' in name)
    settings = dict(Config.fromfile(FOLDER / f'{name}.py').model.backbone, init_cfg=None)
    settings.update(arch=NARROW, drop_path_rate=0.0)
    model = MODELS.build(settings)
    model.init_weights()
    for parameter in model.parameters():  # of V2, blocks start as identities
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    sum(m.square().mean() for m in model(torch.randn(1, 3, 96, 128))).backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, parameter_name
