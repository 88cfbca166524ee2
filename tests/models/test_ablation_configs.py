"""configs/ablations: each states its row of the paper, and changes nothing but the backbone."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest
import torch
from commands import ROOT
from mmengine.config import Config
from mmengine.registry import MODELS

import swinv2_dense  # noqa: F401  registers the backbones
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
CONFIGS = sorted(path.stem for path in FOLDER.glob('*.py'))


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
