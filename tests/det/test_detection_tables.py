"""configs/detection: README.md and metafile.yml list every config with what is counted."""

from __future__ import annotations

import re

import pytest
import torch
import yaml
from commands import ROOT
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from swinv2_dense.costs.detectors import detector_parts, training_bytes

pytest.importorskip('mmdet')
FOLDER = ROOT / 'configs' / 'detection'
CONFIGS = sorted(path.stem for path in FOLDER.glob('*.py'))
ROW = re.compile(
    r'\| \[(?P<name>.+?)\]\((?P<link>.+?)\.py\) \| (?P<row>.+?) \| (?P<ap>.+?) \| '
    r'(?P<params>[\d.]+) \| (?P<macs>\d+) at (?P<height>\d+) x (?P<width>\d+) \| '
    r'(?P<memory>[\d.]+) \| (?P<status>.+) \|'
)
TABLE = {row['name']: row for row in ROW.finditer((FOLDER / 'README.md').read_text())}
METAFILE = yaml.safe_load((FOLDER / 'metafile.yml').read_text())
ENTRIES = {model['Name']: model for model in METAFILE['Models']}
PUBLISHED = {  # box AP, mask AP of single-scale and of multi-scale tests (Tables 1 and 3)
    'cascade-mask-rcnn_swinv2-t-w16_8xb2-3x_coco': '51.1 / -',
    'cascade-mask-rcnn_swinv2-t-w32_8xb2-3x_coco': '51.8 / -',
    'htc++_swinv2-l-w32_32xb2-3x_coco-1536': '58.8 / 51.1',
    'htc++_swinv2-l-w32_32xb2-fsdp-3x_coco-1536': '58.8 / 51.1',
    'htc++_swinv2-l-w48_32xb2-test-3x_coco-1536': '58.9 / 51.2; 60.2 / 52.1',
    'htc++_swinv2-g-w32_48xb2-bf16-fsdp-45000it_coco-1536': '61.7 / 53.3',
    'htc++_swinv2-g-w48_48xb2-bf16-fsdp-test-45000it_coco-1536': '61.9 / 53.4; 62.5 / 53.7',
}


def meta(name: str) -> nn.Module:
    cfg = Config.fromfile(FOLDER / f'{name}.py')
    cfg.model.backbone.pop('init_cfg')
    with DefaultScope.overwrite_default_scope('mmdet'), torch.device('meta'):
        return MODELS.build(cfg.model)


def test_both_list_every_config():
    assert sorted(TABLE) == sorted(ENTRIES) == CONFIGS
    assert all(row['link'] == name for name, row in TABLE.items())
    assert all(ENTRIES[name]['Config'] == f'configs/detection/{name}.py' for name in CONFIGS)
    statuses = {name: ENTRIES[name]['Metadata']['Status'] for name in CONFIGS}
    assert statuses == {name: row['status'] for name, row in TABLE.items()}
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    assert 'configs/detection/metafile.yml' in index['Import']


@pytest.mark.parametrize('name', CONFIGS)
def test_parameters_and_paper_numbers(name):
    entry, row = ENTRIES[name], TABLE[name]
    assert entry['Metadata']['Parameters'] == sum(p.numel() for p in meta(name).parameters())
    assert row['params'] == f'{entry["Metadata"]["Parameters"] / 1e6:.2f}'
    assert row['ap'] == PUBLISHED.get(name, '- / -')
    stated = [str(v) for k, v in entry.get('Paper', {}).items() if 'AP' in k]
    assert stated == re.findall(r'[\d.]+', PUBLISHED.get(name, ''))
    comment = (FOLDER / f'{name}.py').read_text()
    if 'fsdp-3x' not in name:
        assert all(number in comment for number in re.findall(r'[\d.]+', PUBLISHED.get(name, '')))


def check_counts(name: str) -> None:
    entry, row = ENTRIES[name]['Metadata'], TABLE[name]
    parts = detector_parts(meta(name), entry['Test Size'], entry['Training Size'])
    gpus, batch = map(int, re.search(r'_(\d+)xb(\d+)', name).groups())
    num_bytes = training_bytes(parts, batch, gpus if 'fsdp' in name else 1)
    assert entry['MACs'] == sum(part.macs for part in parts)
    assert row['macs'] == f'{entry["MACs"] / 1e9:.0f}'
    assert [int(row['height']), int(row['width'])] == entry['Test Size']
    assert float(row['memory']) == pytest.approx(num_bytes / 2**30, rel=0.02)
    assert entry['Derived Training Memory (GB)'] == float(row['memory'])


@pytest.mark.parametrize('name', ['mask-rcnn_swinv2-t-w16_1xb4-bf16-1x_coco'])
def test_counts(name):
    check_counts(name)


@pytest.mark.slow
@pytest.mark.parametrize('name', CONFIGS)
def test_counts_of_every_config(name):
    check_counts(name)
