"""README.md and metafile.yml of the configs list every config, with counted costs."""

from __future__ import annotations

import copy
import re

import pytest
import torch
import yaml
from commands import ROOT
from contracts import Contract
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from swinv2_dense.costs.detectors import training_bytes
from swinv2_dense.tasks import task_of

for library in ('mmdet', 'mmseg', 'mmaction'):
    pytest.importorskip(library)
from contracts import classification, detection, detr, pretraining, segmentation, video  # noqa: E402

TASKS = (classification, detection, detr, segmentation, video, pretraining)
CONTRACTS = tuple(task.CONTRACT for task in TASKS)
CONFIGS = [(c, path.stem) for c in CONTRACTS for path in sorted(c.folder.glob('*.py'))]
COUNTED = [  # by default; memory is measured, which takes longest for video
    (detection.CONTRACT, 'mask-rcnn_swinv2-t-w16_1xb4-bf16-1x_coco'),
    (segmentation.CONTRACT, 'upernet_swinv2-t-w16_1xb16-bf16-160k_ade20k-512x512'),
]


def ids(configs: list[tuple[Contract, str]]) -> list[str]:
    return [name for _, name in configs]


def table(contract: Contract) -> dict[str, re.Match]:
    text = (contract.folder / 'README.md').read_text()
    return {row['name']: row for row in contract.row.finditer(text)}


def entries(contract: Contract) -> dict[str, dict]:
    models = yaml.safe_load((contract.folder / 'metafile.yml').read_text())['Models']
    return {model['Name']: model for model in models}


def build(contract: Contract, name: str) -> nn.Module:
    model = copy.deepcopy(contract.load(name).model)
    model.backbone.init_cfg = None
    with DefaultScope.overwrite_default_scope(contract.scope), torch.device('meta'):
        return MODELS.build(model)


@pytest.mark.parametrize('contract', CONTRACTS, ids=lambda contract: contract.folder.name)
def test_both_list_every_config(contract: Contract) -> None:
    names = [name for owner, name in CONFIGS if owner is contract]
    rows, models, folder = table(contract), entries(contract), f'configs/{contract.folder.name}'
    assert sorted(rows) == sorted(models) == sorted(names)
    assert all(row['link'] == name for name, row in rows.items())
    assert all(models[name]['Config'] == f'{folder}/{name}.py' for name in names)
    statuses = {name: models[name]['Metadata']['Status'] for name in names}
    assert statuses == {name: row['status'] for name, row in rows.items()}
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    assert f'{folder}/metafile.yml' in index['Import']


@pytest.mark.parametrize('contract, name', CONFIGS, ids=ids(CONFIGS))
def test_parameters_and_paper_numbers(contract: Contract, name: str) -> None:
    row, entry = table(contract)[name], entries(contract)[name]
    counted = sum(p.numel() for p in build(contract, name).parameters())
    assert entry['Metadata']['Parameters'] == counted
    assert row['params'] == f'{counted / 1e6:.2f}'
    contract.check_row(name, contract.load(name), row, entry)


def check_counts(contract: Contract, name: str) -> None:
    row, entry = table(contract)[name], entries(contract)[name]['Metadata']
    cost_parts = task_of(contract.load(name)).cost_parts()
    parts = cost_parts(build(contract, name), entry['Test Size'], entry['Training Size'])
    gpus, batch = map(int, re.search(r'_(\d+)xb(\d+)', name).groups())
    num_bytes = training_bytes(parts, batch, gpus if 'fsdp' in name else 1)
    assert entry['MACs'] == sum(part.macs for part in parts)
    assert row['macs'] == f'{entry["MACs"] / 1e9:.0f}'
    assert row['size'] == ' x '.join(map(str, entry['Test Size']))
    assert float(row['memory']) == pytest.approx(num_bytes / 2**30, rel=0.02)
    assert entry['Derived Training Memory (GB)'] == float(row['memory'])


@pytest.mark.parametrize('contract, name', COUNTED, ids=ids(COUNTED))
def test_counts(contract: Contract, name: str) -> None:
    check_counts(contract, name)


@pytest.mark.slow
@pytest.mark.parametrize('contract, name', CONFIGS, ids=ids(CONFIGS))
def test_counts_of_every_config(contract: Contract, name: str) -> None:
    check_counts(contract, name)
