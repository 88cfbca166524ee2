"""model-index.yml and docs/model_zoo.md: complete, equal to each other and to what loading does."""

from __future__ import annotations

import re

import pytest
import torch
import yaml
from commands import ROOT

from swinv2_dense import SwinTransformerV2
from swinv2_dense.checkpoints.divisors import from_name

INDEX = yaml.safe_load((ROOT / 'model-index.yml').read_text())
MODELS = {model['Name']: model for model in INDEX['Models']}
PAGE = (ROOT / 'docs' / 'model_zoo.md').read_text()
OFFICIAL = [
    'tiny_patch4_window8_256',
    'tiny_patch4_window16_256',
    'small_patch4_window8_256',
    'small_patch4_window16_256',
    'base_patch4_window8_256',
    'base_patch4_window16_256',
    'base_patch4_window12_192_22k',
    'base_patch4_window12to16_192to256_22kto1k_ft',
    'base_patch4_window12to24_192to384_22kto1k_ft',
    'large_patch4_window12_192_22k',
    'large_patch4_window12to16_192to256_22kto1k_ft',
    'large_patch4_window12to24_192to384_22kto1k_ft',
]


def test_every_official_release_is_listed() -> None:
    names = [f'swinv2_{name}' for name in OFFICIAL]
    assert [name for name in MODELS if name in names] == names
    for name in names:
        assert MODELS[name]['Weights'].endswith(f'/v2.0.0/{name}.pth')
        assert len(MODELS[name]['Mirrors']) == 3


@pytest.mark.parametrize('model', MODELS.values(), ids=list(MODELS))
def test_an_entry_agrees_with_the_loader_and_the_page(model: dict) -> None:
    metadata, weights = model['Metadata'], model['Weights']
    assert model['Init Cfg'] == f"init_cfg=dict(type='Pretrained', checkpoint='{weights}')"
    assert model['Init Cfg'] in PAGE.splitlines()
    divisors = [(w, w) for w in metadata['Divisors']]
    for address in [weights, *model.get('Mirrors', [])]:
        assert from_name(address).windows == divisors
    side = metadata['Resolution'] // 4
    assert metadata['Window'] == [
        min(metadata['Window'][0], side // 2**stage) for stage in range(4)
    ]
    name = model['Name'].removeprefix('simmim_')
    (row,) = [line for line in PAGE.splitlines() if re.match(rf'\| \[?{re.escape(name)}[] ]', line)]
    assert f'| {metadata["Resolution"]} |' in row
    assert f'| {", ".join(map(str, metadata["Divisors"]))} |' in row
    for result in model.get('Results', []):
        assert f'| {result["Metrics"]["Top 1 Accuracy"]} ' in row


@pytest.mark.parametrize('arch', ['t', 's', 'b', 'l'])
def test_parameters_are_counted(arch: str) -> None:
    with torch.device('meta'):
        model = SwinTransformerV2(arch, out_indices=(3,))
    backbone = sum(p.numel() for p in model.parameters())
    head = 1000 * (model.num_features[-1] + 1)
    for entry in MODELS.values():
        if entry['Metadata']['Architecture'] == f'SwinV2-{arch.upper()}':
            expected = backbone if entry['Name'].startswith('simmim') else backbone + head
            assert entry['Metadata']['Parameters'] == expected
