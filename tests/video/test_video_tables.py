"""configs/video: README.md and metafile.yml list every config with what is counted."""

from __future__ import annotations

import copy
import re

import pytest
import torch
import yaml
from commands import ROOT
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from swinv2_dense.costs.detectors import training_bytes
from swinv2_dense.costs.input_size import training_size
from swinv2_dense.costs.recognizers import recognizer_parts
from swinv2_dense.tasks import task_of

pytest.importorskip('mmaction')
FOLDER = ROOT / 'configs' / 'video'
CONFIGS = sorted(path.stem for path in FOLDER.glob('*.py'))
ROW = re.compile(
    r'\| \[(?P<name>.+?)\]\((?P<link>.+?)\.py\) \| (?P<row>.+?) \| (?P<top1>[-\d.]+) \| '
    r'(?P<params>[\d.]+) \| (?P<macs>\d+) at (?P<view>\d+ x \d+ x \d+) \| (?P<views>\d x \d) \| '
    r'(?P<memory>[\d.]+) \| (?P<status>.+) \|'
)
TABLE = {row['name']: row for row in ROW.finditer((FOLDER / 'README.md').read_text())}
METAFILE = yaml.safe_load((FOLDER / 'metafile.yml').read_text())
ENTRIES = {model['Name']: model for model in METAFILE['Models']}
G = 'swinv2-giant-p244-w8x{}_32xb2-bf16-fsdp-{}16x4x1-5e_kinetics400-rgb-{}'
PUBLISHED = {  # top-1, Table 5
    G.format('20x20', '', 320): '83.2',
    G.format('24x24', 'test-1x1-', 384): '83.4',
    G.format('24x24', 'test-4x5-', 384): '86.8',
}


def build(cfg: Config) -> nn.Module:
    model = copy.deepcopy(cfg.model)
    model.backbone.init_cfg = None
    with DefaultScope.overwrite_default_scope('mmaction'), torch.device('meta'):
        return MODELS.build(model)


def test_both_list_every_config():
    assert sorted(TABLE) == sorted(ENTRIES) == CONFIGS
    assert all(row['link'] == name for name, row in TABLE.items())
    assert all(ENTRIES[name]['Config'] == f'configs/video/{name}.py' for name in CONFIGS)
    statuses = {name: ENTRIES[name]['Metadata']['Status'] for name in CONFIGS}
    assert statuses == {name: row['status'] for name, row in TABLE.items()}
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    assert 'configs/video/metafile.yml' in index['Import']


@pytest.mark.parametrize('name', CONFIGS)
def test_parameters_paper_numbers_views_and_batch(name):
    entry, row, cfg = ENTRIES[name], TABLE[name], Config.fromfile(FOLDER / f'{name}.py')
    counted = sum(p.numel() for p in build(cfg).parameters())
    assert entry['Metadata']['Parameters'] == counted
    assert row['params'] == f'{counted / 1e6:.2f}'
    assert row['top1'] == PUBLISHED.get(name, '-')
    assert str(entry.get('Paper', {}).get('Top 1 Accuracy', '-')) == row['top1']
    assert entry['Metadata']['Batch Size'] == cfg.auto_scale_lr.base_batch_size
    assert entry['Metadata']['Epochs'] == cfg.train_cfg.max_epochs
    steps = {step.type: step for step in cfg.test_dataloader.dataset.pipeline}
    clips = steps['SampleFrames'].num_clips if 'SampleFrames' in steps else 1
    crops = 3 if 'ThreeCrop' in steps else steps.get('UniformCrops', {}).get('num_crops', 1)
    assert row['views'] == f'{clips} x {crops}'


def check_counts(name: str) -> None:
    entry, row, cfg = ENTRIES[name]['Metadata'], TABLE[name], Config.fromfile(FOLDER / f'{name}.py')
    assert list(training_size(cfg, task_of(cfg))) == entry['Training Size']
    parts = recognizer_parts(build(cfg), entry['Test Size'], entry['Training Size'])
    gpus, batch = map(int, re.search(r'_(\d+)xb(\d+)', name).groups())
    num_bytes = training_bytes(parts, batch, gpus if 'fsdp' in name else 1)
    assert entry['MACs'] == sum(part.macs for part in parts)
    assert row['macs'] == f'{entry["MACs"] / 1e9:.0f}'
    assert row['view'] == ' x '.join(map(str, entry['Test Size']))
    assert float(row['memory']) == pytest.approx(num_bytes / 2**30, rel=0.02)
    assert entry['Derived Training Memory (GB)'] == float(row['memory'])


def test_counts():
    check_counts('swinv2-tiny-p244-w888_in1k-pre_8xb8-bf16-32x2x1-30e_kinetics400-rgb')


@pytest.mark.slow
@pytest.mark.parametrize('name', CONFIGS)
def test_counts_of_every_config(name):
    check_counts(name)
