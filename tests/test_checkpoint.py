"""Loading the official checkpoint format, with files made here in its layout."""

from __future__ import annotations

import math

import pytest
import torch
from mmengine.logging import MMLogger
from test_swin_transformer_v2 import TINY, tiny
from torch.testing import assert_close

from swinv2_dense import SwinTransformerV2
from swinv2_dense.models.checkpoint import load_pretrained


def official_layout(model: SwinTransformerV2, windows: list, divisors: list) -> dict:
    """State dict as the official classifier saves it: tables, masks, final norm and head."""
    state = {}
    for name, param in model.state_dict().items():
        if not name.startswith('norm'):
            state[name] = param.clone()
        elif name.startswith('norm3.'):
            state[name.replace('norm3', 'norm')] = param.clone()
    for stage, (window, divisor) in enumerate(zip(windows, divisors)):
        side = torch.arange(1 - window, window, dtype=torch.float32)
        if divisor > 0:
            side /= divisor - 1
        else:  # the official default: the window itself
            side /= window - 1
        side *= 8
        side = torch.sign(side) * torch.log2(side.abs() + 1.0) / math.log2(8)
        table = torch.stack(torch.meshgrid(side, side, indexing='ij'), dim=-1)[None]
        for block in range(len(model.layers[stage].blocks)):
            attn = f'layers.{stage}.blocks.{block}.attn'
            state[f'{attn}.relative_coords_table'] = table
            state[f'{attn}.relative_position_index'] = torch.zeros(window**2, window**2).long()
    state['layers.0.blocks.1.attn_mask'] = torch.zeros(4, windows[0] ** 2, windows[0] ** 2)
    state['head.weight'], state['head.bias'] = torch.zeros(10, 64), torch.zeros(10)
    return {'model': state}


def saved(tmp_path, checkpoint: dict) -> str:
    path = tmp_path / 'swinv2.pth'
    torch.save(checkpoint, path)
    return str(path)


def pretrained(path: str, **kwargs) -> SwinTransformerV2:
    kwargs = dict(arch=TINY, window_size=4) | kwargs
    model = SwinTransformerV2(**kwargs, init_cfg=dict(type='Pretrained', checkpoint=path))
    model.init_weights()
    return model.eval()


@pytest.mark.parametrize(
    'windows, divisors, expected',
    [
        ([8, 8, 8, 8], [0, 0, 0, 0], [8, 8, 8, 8]),
        ([16, 16, 16, 8], [0, 0, 0, 0], [16, 16, 16, 8]),
        ([24, 24, 24, 12], [12, 12, 12, 6], [12, 12, 12, 6]),
        ([16, 16, 16, 8], [12, 12, 12, 6], [12, 12, 12, 6]),
    ],
    ids=['w8', 'w16', '12to24', '12to16'],
)
def test_divisors_are_read_from_the_coordinate_tables(tmp_path, windows, divisors, expected):
    """Recipes of the published files: fine-tuning at a larger window kept the old divisor."""
    source = tiny(pretrained_window_sizes=expected, window_size=4).eval()
    model = pretrained(saved(tmp_path, official_layout(source, windows, divisors)))
    assert model.pretrained_window_sizes == [(p, p) for p in expected]
    image = torch.randn(1, 3, 50, 70)
    for out, reference in zip(model(image), source(image)):
        assert out.shape == reference.shape
    assert_close(model(image)[3], source(image)[3])  # the final norm is norm3


def test_report_counts_every_parameter(tmp_path):
    source = tiny()
    model = SwinTransformerV2(TINY, window_size=4)
    report = load_pretrained(model, saved(tmp_path, official_layout(source, [4] * 4, [0] * 4)))
    own = dict(model.named_parameters())
    assert sorted(report.missing) == [f'norm{i}.{p}' for i in range(3) for p in ('bias', 'weight')]
    assert sorted(report.matched + report.missing) == sorted(own)
    assert report.unexpected == []
    assert len(report.ignored) == 2 * sum(TINY['depths']) + 3
    text = str(report)
    assert f'matched: {len(own) - 6} parameters' in text
    assert 'missing: 6 (keep their initial values) norm0.weight' in text
    assert torch.equal(model.norm0.weight, torch.ones(8))


def test_contradicting_divisors_raise_and_change_nothing(tmp_path):
    path = saved(tmp_path, official_layout(tiny(), [16, 16, 16, 8], [12, 12, 12, 6]))
    model = SwinTransformerV2(TINY, window_size=16, pretrained_window_sizes=[16, 16, 16, 8])
    before = model.state_dict()
    before = {k: v.clone() for k, v in before.items()}
    with pytest.raises(ValueError, match=r'\(16, 16\).*contradicts .*swinv2\.pth.*\(12, 12\)'):
        load_pretrained(model, path)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_unknown_divisors_must_be_given(tmp_path):
    checkpoint = official_layout(tiny(), [4] * 4, [0] * 4)
    state = {k: v for k, v in checkpoint['model'].items() if 'relative' not in k}
    path = saved(tmp_path, {'model': state})
    with pytest.raises(ValueError, match='Set pretrained_window_sizes of the backbone'):
        pretrained(path)
    assert pretrained(path, pretrained_window_sizes=6).pretrained_window_sizes == [(6, 6)] * 4


def test_a_missing_parameter_raises(tmp_path):
    """A silent miss would leave a block with zero norms: the identity."""
    checkpoint = official_layout(tiny(), [4] * 4, [0] * 4)
    del checkpoint['model']['layers.1.blocks.0.norm2.weight']
    with pytest.raises(ValueError, match=r'lacks 1 of .* layers\.1\.blocks\.0\.norm2\.weight'):
        pretrained(saved(tmp_path, checkpoint))


def test_another_arch_raises(tmp_path):
    path = saved(tmp_path, official_layout(tiny(), [4] * 4, [0] * 4))
    with pytest.raises(ValueError, match=r'shapes differ.*\(8, 3, 4, 4\) in the file.*arch'):
        pretrained(path, arch=dict(TINY, embed_dims=16))
    with pytest.raises(ValueError, match='lacks .* Does arch match'):
        pretrained(path, arch=dict(TINY, depths=(2, 2, 3, 2)))


def test_not_swinv2_raises(tmp_path):
    for checkpoint in ({'model': {'conv1.weight': torch.zeros(1)}}, [1], {'state_dict': {}}):
        with pytest.raises(ValueError, match=r'holds no Swin Transformer V2 .*logit_scale'):
            pretrained(saved(tmp_path, checkpoint))


def test_a_missing_file_raises(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nowhere\.pth'):
        pretrained(str(tmp_path / 'nowhere.pth'))


def test_a_checkpoint_of_a_detector_of_ours_loads(tmp_path):
    detector = torch.nn.Module()
    detector.backbone = tiny(pretrained_window_sizes=[6, 6, 6, 3])
    detector.head = torch.nn.Linear(1, 1)
    path = saved(tmp_path, {'state_dict': detector.state_dict(), 'meta': {}})
    model = pretrained(path)
    assert model.pretrained_window_sizes == [(6, 6)] * 3 + [(3, 3)]
    image = torch.randn(1, 3, 33, 47)
    for out, reference in zip(model(image), detector.backbone.eval()(image)):
        assert torch.equal(out, reference)


def test_fewer_stages_take_what_they_need(tmp_path):
    source = tiny()
    path = saved(tmp_path, official_layout(source, [4] * 4, [0] * 4))
    model = pretrained(path, out_indices=(0, 1))
    assert torch.equal(
        model.layers[1].blocks[1].mlp.fc2.weight, source.layers[1].blocks[1].mlp.fc2.weight
    )


def test_the_report_is_logged(tmp_path, capsys):
    MMLogger.get_instance('swinv2_dense_test', log_level='INFO')
    pretrained(saved(tmp_path, official_layout(tiny(), [4] * 4, [0] * 4)))
    out = capsys.readouterr()
    assert 'matched: ' in out.out + out.err
