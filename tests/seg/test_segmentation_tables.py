"""configs/segmentation: README.md and metafile.yml list every config with what is counted."""

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

from swinv2_dense.costs import counts
from swinv2_dense.costs.detectors import training_bytes
from swinv2_dense.costs.segmentors import IMAGES, segmentor_parts

pytest.importorskip('mmseg')
FOLDER = ROOT / 'configs' / 'segmentation'
CONFIGS = sorted(path.stem for path in FOLDER.glob('*.py'))
ROW = re.compile(
    r'\| \[(?P<name>.+?)\]\((?P<link>.+?)\.py\) \| (?P<row>.+?) \| (?P<miou>.+?) \| '
    r'(?P<params>[\d.]+) \| (?P<macs>\d+) at (?P<height>\d+) x (?P<width>\d+) \| '
    r'(?P<memory>[\d.]+) \| (?P<status>.+) \|'
)
TABLE = {row['name']: row for row in ROW.finditer((FOLDER / 'README.md').read_text())}
METAFILE = yaml.safe_load((FOLDER / 'metafile.yml').read_text())
ENTRIES = {model['Name']: model for model in METAFILE['Models']}
PUBLISHED = {  # mIoU of single-scale and of multi-scale tests (Tables 1 and 4)
    'upernet_swinv2-t-w16_8xb2-160k_ade20k-512x512': '47.0 / -',
    'upernet_swinv2-t-w20_8xb2-160k_ade20k-512x512': '47.7 / -',
    'upernet_swinv2-t-w32_8xb2-160k_ade20k-512x512': '47.8 / -',
    'upernet_swinv2-t-w20_8xb2-test-160k_ade20k-512x512': '47.7 / -',
    'upernet_swinv2-t-w32_8xb2-test-160k_ade20k-512x512': '47.8 / -',
    'upernet_swinv2-l-w40_32xb2-40k_ade20k-640x640': '- / 55.9',
    'upernet_swinv2-l-w40_4xb2-bf16-gn-acc8-40k_ade20k-640x640': '- / 55.9',
    'upernet_swinv2-g-w40_16xb2-bf16-fsdp-80k_ade20k-640x640': '59.1 / -',
    'upernet_swinv2-g-w56_16xb2-bf16-fsdp-test-80k_ade20k-896x896': '59.3 / 59.9',
}


def build(name: str, device: str = 'meta', **changes) -> nn.Module:
    cfg = copy.deepcopy(Config.fromfile(FOLDER / f'{name}.py').model)
    cfg.backbone.update(init_cfg=None)
    for part, values in changes.items():
        cfg[part].update(values)
    with DefaultScope.overwrite_default_scope('mmseg'), torch.device(device):
        return MODELS.build(cfg)


def test_both_list_every_config():
    assert sorted(TABLE) == sorted(ENTRIES) == CONFIGS
    assert all(row['link'] == name for name, row in TABLE.items())
    assert all(ENTRIES[name]['Config'] == f'configs/segmentation/{name}.py' for name in CONFIGS)
    statuses = {name: ENTRIES[name]['Metadata']['Status'] for name in CONFIGS}
    assert statuses == {name: row['status'] for name, row in TABLE.items()}
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    assert 'configs/segmentation/metafile.yml' in index['Import']


@pytest.mark.parametrize('name', CONFIGS)
def test_parameters_paper_numbers_and_batch(name):
    entry, row = ENTRIES[name], TABLE[name]
    assert entry['Metadata']['Parameters'] == sum(p.numel() for p in build(name).parameters())
    assert row['params'] == f'{entry["Metadata"]["Parameters"] / 1e6:.2f}'
    assert row['miou'] == PUBLISHED.get(name, '- / -')
    single, several = PUBLISHED.get(name, '- / -').split(' / ')
    stated = entry.get('Paper', {})
    assert str(stated.get('mIoU', '-')) == single and str(stated.get('mIoU (ms)', '-')) == several
    cfg = Config.fromfile(FOLDER / f'{name}.py')
    parts = cfg.optim_wrapper.get('accumulative_counts', 1)
    assert entry['Metadata']['Batch Size'] == cfg.auto_scale_lr.base_batch_size
    assert entry['Metadata']['Steps'] == cfg.train_cfg.max_iters // parts


def check_counts(name: str) -> None:
    entry, row = ENTRIES[name]['Metadata'], TABLE[name]
    parts = segmentor_parts(build(name), entry['Test Size'], entry['Training Size'])
    gpus, batch = map(int, re.search(r'_(\d+)xb(\d+)', name).groups())
    num_bytes = training_bytes(parts, batch, gpus if 'fsdp' in name else 1)
    assert entry['MACs'] == sum(part.macs for part in parts)
    assert row['macs'] == f'{entry["MACs"] / 1e9:.0f}'
    assert [int(row['height']), int(row['width'])] == entry['Test Size']
    assert float(row['memory']) == pytest.approx(num_bytes / 2**30, rel=0.02)
    assert entry['Derived Training Memory (GB)'] == float(row['memory'])


@pytest.mark.parametrize('name', ['upernet_swinv2-t-w16_1xb16-bf16-160k_ade20k-512x512'])
def test_counts(name):
    check_counts(name)


@pytest.mark.slow
@pytest.mark.parametrize('name', CONFIGS)
def test_counts_of_every_config(name):
    check_counts(name)


# ------------------------------------------------------------------------------- the counters

ARCH = dict(embed_dims=16, depths=(1, 1, 1, 1), num_heads=(1, 2, 4, 8))
SMALL = dict(
    backbone=dict(arch=ARCH, window_size=4),
    decode_head=dict(in_channels=[16, 32, 64, 128], channels=24),
    auxiliary_head=dict(in_channels=64, channels=8),
)
SIZE, AREAS, CLASSES = (64, 96), (384, 96, 24, 6), 150


@pytest.fixture(scope='module')
def parts() -> dict:
    model = build('upernet_swinv2-t-w16_8xb2-160k_ade20k-512x512', **SMALL)
    return {part.name: part for part in segmentor_parts(model, SIZE, SIZE)}


def test_operations_of_the_head_by_hand(parts):
    """1 x 1 and 3 x 3 convolutions of UperNet, of width 24, on maps of AREAS positions."""
    width, (first, *_, last) = 24, AREAS
    pooled = sum(scale**2 * 128 * width for scale in (1, 2, 3, 6))
    pyramid = pooled + last * 9 * (128 + 4 * width) * width
    lateral = sum(area * c * width for area, c in zip(AREAS[:3], (16, 32, 64)))
    smooth = sum(area * 9 * width * width for area in AREAS[:3])
    fused = first * (9 * 4 * width * width + width * CLASSES)
    assert parts['decode_head'].macs == pyramid + lateral + smooth + fused
    assert parts['auxiliary_head'].macs == 0


def test_what_is_kept_is_what_a_real_step_keeps(parts):
    """By mmseg's own losses; log-CPB's hidden layer counts here and is recomputed there."""
    model = build('upernet_swinv2-t-w16_8xb2-160k_ade20k-512x512', 'cpu', **SMALL).train()
    labels = torch.zeros(IMAGES, 1, *SIZE, dtype=torch.long)
    kept = counts.Kept(model)
    with kept.hooks:
        maps = [m.detach().requires_grad_() for m in model.backbone(torch.randn(IMAGES, 3, *SIZE))]
        backbone = kept.take()
        found = {}
        for name in ('decode_head', 'auxiliary_head'):
            head = getattr(model, name)
            logits = nn.functional.interpolate(head(maps), SIZE, mode='bilinear')
            head.loss_decode(logits, labels.squeeze(1), ignore_index=255)
            found[name] = kept.take()
    for name, num_bytes in found.items():
        assert parts[name].kept * IMAGES == pytest.approx(num_bytes, rel=0.1), name
    assert backbone <= parts['backbone'].kept * IMAGES * 1.01 <= 1.6 * backbone
