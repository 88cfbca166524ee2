"""model-index.yml and docs/model_zoo.md are complete, and agree with each other and the loader."""

from __future__ import annotations

import re

import pytest
import torch
import yaml
from commands import ROOT

from swinv2_dense import SwinTransformerV2
from swinv2_dense.checkpoints.pretrained_windows import from_name

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
    pretrained_windows = [(w, w) for w in metadata['PretrainedWindows']]
    for address in [weights, *model.get('Mirrors', [])]:
        assert from_name(address).windows == pretrained_windows
    side = metadata['Resolution'] // 4
    assert metadata['Window'] == [
        min(metadata['Window'][0], side // 2**stage) for stage in range(4)
    ]
    name = model['Name'].removeprefix('simmim_')
    (row,) = [line for line in PAGE.splitlines() if re.match(rf'\| \[?{re.escape(name)}[] ]', line)]
    assert f'| {metadata["Resolution"]} |' in row
    assert f'| {", ".join(map(str, metadata["PretrainedWindows"]))} |' in row
    for result in model.get('Results', []):
        assert f'| {result["Metrics"]["Top 1 Accuracy"]} ' in row


PARTS = ('1kper10', '1kper20', '1kper50')
SIMMIM = {  # data of pre-training by size
    'small': (*PARTS, '1k'),
    'base': (*PARTS, '1k', '22k'),
    'large': (*PARTS, '1k', '22k'),
    'huge': (*PARTS[1:], '1k', '22k'),
    'giant': (*PARTS[2:], '1k', '22k'),
}


def simmim_accuracies() -> dict[str, str]:
    """Top-1 accuracies on the page, by file name."""
    return dict(re.findall(r'\b(swinv2_\w+_\d+k) (\d\d\.\d\d)\b', PAGE))


def test_every_simmim_file_is_listed() -> None:
    """All by name, and some accuracies from the official table, where 1k and 22k look alike."""
    found = simmim_accuracies()
    names = [
        f'swinv2_{size}_{data}_{iterations}k'
        for size, parts in SIMMIM.items()
        for data in parts
        for iterations in (125, 250, 500)
    ]
    assert len(names) == 63 and list(found) == names
    for name, accuracy in {
        'small_1k_500k': '84.08',
        'base_1k_500k': '85.04',
        'base_22k_500k': '85.11',
        'large_22k_500k': '85.81',
        'huge_1kper20_500k': '83.44',
        'giant_1k_500k': '86.46',
        'giant_22k_500k': '86.53',
    }.items():
        assert found[f'swinv2_{name}'] == accuracy
    lines = PAGE.splitlines()
    for name in names:
        address = f'hf://zdaxie/SimMIM/simmim_swinv2_pretrain_models/{name}.pth'
        assert f"init_cfg=dict(type='Pretrained', checkpoint='{address}')" in lines
        for file in (f'simmim_swinv2_pretrain_models/{name}', f'finetune_{name}'):
            assert from_name(f'hf://zdaxie/SimMIM/{file}.pth').windows == [
                *[(12, 12)] * 3,
                (6, 6),
            ]
    for entry in INDEX['Models']:
        if entry['Name'].startswith('simmim_'):
            accuracy = entry['Results'][0]['Metrics']['Top 1 Accuracy']
            assert found[entry['Name'].removeprefix('simmim_')] == f'{accuracy:.2f}'


def test_every_file_has_a_license() -> None:
    for name, model in MODELS.items():
        plain = name.removeprefix('simmim_')
        (row,) = [
            line for line in PAGE.splitlines() if re.match(rf'\| \[?{re.escape(plain)}[] ]', line)
        ]
        assert row.endswith(f'| {model["License"]} |')
    section = PAGE[PAGE.index('## Licenses') :]
    for address in {m.split('/')[2] for model in MODELS.values() for m in model.get('Mirrors', [])}:
        known = dict(timm='timm', microsoft='transformers')
        assert known.get(address, 'mmpretrain') in section


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
