"""Loading the official checkpoint format, with files made here in its layout."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.hooks import EMAHook
from mmengine.logging import MMLogger
from mmengine.model import BaseModel, PretrainedInit
from mmengine.runner import Runner
from test_swin_transformer_v2 import TINY, tiny
from torch.testing import assert_close

from swinv2_dense import SwinTransformerV2
from swinv2_dense.models.checkpoint import load_pretrained

HERE = Path(__file__).resolve().parent


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


def test_other_spellings_of_pretrained_load_too(tmp_path):
    source = tiny()
    path = saved(tmp_path, official_layout(source, [8, 8, 8, 4], [0] * 4))
    entry = dict(type='Pretrained', checkpoint=path)
    for init_cfg in ([entry], dict(entry, type=PretrainedInit)):
        model = SwinTransformerV2(TINY, window_size=4, init_cfg=init_cfg)
        model.init_weights()
        assert model.pretrained_window_sizes[0] == (8, 8)
        assert torch.equal(model.norm3.weight, source.norm3.weight)
    model = SwinTransformerV2(TINY, init_cfg=[entry, dict(type='Constant', layer='Linear', val=0)])
    with pytest.raises(ValueError, match='Pretrained stands alone'):
        model.init_weights()


def test_weights_without_metadata_warn():
    state = dict(tiny(window_size=8).state_dict())
    with pytest.warns(UserWarning, match=r'pretrained_window_sizes stays \[\(4, 4\)'):
        tiny(window_size=4).load_state_dict(state)


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


class Recognizer(BaseModel):
    """A model around a backbone whose windows come from a checkpoint, for mmengine's Runner."""

    def __init__(self, checkpoint: str | None = None) -> None:
        super().__init__()
        init_cfg = dict(type='Pretrained', checkpoint=checkpoint) if checkpoint else None
        self.backbone = SwinTransformerV2(TINY, window_size=4, init_cfg=init_cfg)

    def forward(self, inputs: torch.Tensor, mode: str = 'tensor') -> object:
        maps = self.backbone(inputs)
        return dict(loss=maps[3].square().mean()) if mode == 'loss' else maps


NEW_PROCESS = """
import sys
import torch
from mmengine.runner import load_checkpoint
from test_checkpoint import Recognizer
model = Recognizer().eval()
load_checkpoint(model, sys.argv[1], strict=True)
image = torch.linspace(-1, 1, 3 * 40 * 52).view(1, 3, 40, 52)
torch.save([model.backbone.pretrained_window_sizes, model(image)[3]], sys.argv[2])
"""


@pytest.mark.parametrize('hooks', [[], [dict(type='EMAHook', momentum=0.5)]], ids=['plain', 'EMA'])
def test_divisors_survive_training_and_a_new_process(tmp_path, hooks):
    """Trained from a file of window 8 at window 4, with the divisor left out of every config."""
    source = saved(tmp_path, official_layout(tiny(), [8, 8, 8, 4], [0] * 4))
    runner = Runner(
        Recognizer(source),
        work_dir=str(tmp_path / 'work'),
        train_dataloader=dict(
            batch_size=1,
            dataset=[dict(inputs=torch.randn(3, 33, 40))] * 2,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(by_epoch=False, max_iters=2),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-2)),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=2, by_epoch=False)),
        custom_hooks=hooks,
        experiment_name=f'divisors{len(hooks)}',
    )
    model = runner.train().eval()
    checkpoint, out = tmp_path / 'work' / 'iter_2.pth', tmp_path / 'out.pth'
    command = [sys.executable, '-c', NEW_PROCESS, str(checkpoint), str(out)]
    environment = os.environ | dict(PYTHONPATH=os.pathsep.join([*sys.path, str(HERE)]))
    subprocess.run(command, check=True, env=environment)
    divisors, restored = torch.load(out, weights_only=True)
    assert divisors == model.backbone.pretrained_window_sizes == [(8, 8)] * 3 + [(4, 4)]
    if hooks:  # what a checkpoint calls state_dict is the average
        average = next(h for h in runner.hooks if isinstance(h, EMAHook)).ema_model.module
        model.load_state_dict(dict(average.state_dict()))
    image = torch.linspace(-1, 1, 3 * 40 * 52).view(1, 3, 40, 52)
    with torch.no_grad():
        assert_close(restored, model(image)[3])
