"""Low-rank adapters: what they compute, learn, store and leave behind."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from commands import ROOT, run_here, scalars
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS
from narrow_classifier import narrow_classifier, use_folders, write_class_folders
from tiny_models import TINY, tiny
from torch.testing import assert_close

from swinv2_dense import SwinTransformerV2, VideoSwinTransformerV2
from swinv2_dense.checkpoints.reading import read_checkpoint_file
from swinv2_dense.models import LowRankSwinTransformerV2, LowRankVideoSwinTransformerV2

EVERY = ('qkv', 'proj', 'fc1', 'fc2')
IMAGE = torch.randn(1, 3, 70, 96, generator=torch.Generator().manual_seed(0))


def adapters(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: p for name, p in model.named_parameters() if 'low_rank' in name}


def adapted(seed: int = 5, **kwargs: object) -> LowRankSwinTransformerV2:
    """A model with adapters that change it."""
    model = tiny(LowRankSwinTransformerV2, low_rank=3, **kwargs)
    generator = torch.Generator().manual_seed(seed)
    for parameter in adapters(model).values():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2
    return model


def merged(model: LowRankSwinTransformerV2) -> SwinTransformerV2:
    """A plain backbone with the sums as its weights."""
    plain = tiny()
    state = {k: v.clone() for k, v in model.state_dict().items() if 'low_rank' not in k}
    for name, up in adapters(model).items():
        if name.endswith('low_rank_up'):
            layer = name.removesuffix('low_rank_up')
            down = dict(model.named_parameters())[f'{layer}low_rank_down']
            state[f'{layer}weight'] += torch.einsum('or,ri->oi', up, down).detach()
    plain.load_state_dict(state)
    return plain


def test_new_adapters_change_nothing() -> None:
    plain, model = tiny(), tiny(LowRankSwinTransformerV2, adapted=EVERY)
    assert len(adapters(model)) == 2 * 4 * sum(TINY['depths'])
    for found, expected in zip(model(IMAGE), plain(IMAGE)):
        assert_close(found, expected)


@pytest.mark.parametrize('backend', ['tiled', 'sdpa'])
@pytest.mark.parametrize('names', [('qkv', 'proj'), EVERY])
def test_the_weight_is_the_sum(names, backend) -> None:
    model = adapted(adapted=names, attention_backend=backend)
    expected = merged(model)(IMAGE)
    for found, wanted, before in zip(model(IMAGE), expected, tiny()(IMAGE)):
        assert_close(found, wanted, atol=1e-5, rtol=1e-5)
        assert (wanted - before).abs().max() > 0.01


def test_gradients_are_those_of_the_factors() -> None:
    """Of W + up @ down with the gradient G of the sum: G down^T and up^T G."""
    model = adapted(adapted=EVERY)
    plain = merged(model)
    weights = [torch.randn_like(out) for out in plain(IMAGE)]
    for one in (model, plain):
        sum((out * w).sum() for out, w in zip(one(IMAGE), weights)).backward()
    whole, own = dict(plain.named_parameters()), dict(model.named_parameters())
    for name in adapters(model):
        layer = name.rpartition('.')[0]
        up, down = own[f'{layer}.low_rank_up'], own[f'{layer}.low_rank_down']
        grad = whole[f'{layer}.weight'].grad
        expected = grad @ down.T if name.endswith('up') else up.T @ grad
        assert_close(own[name].grad, expected, atol=1e-3, rtol=1e-4)
        assert own[f'{layer}.weight'].grad is None


def test_only_adapters_and_output_norms_learn() -> None:
    cfg = Config.fromfile(ROOT / 'configs/_base_/models/classifier_low-rank.py').model
    narrow_classifier(cfg)
    model = MODELS.build(cfg).train()
    wrapper = build_optim_wrapper(
        model,
        dict(
            constructor='SwinV2OptimWrapperConstructor',
            optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
            paramwise_cfg=dict(layer_decay=0.9),
        ),
    )
    names = {parameter: name for name, parameter in model.named_parameters()}
    learned = {names[p] for group in wrapper.optimizer.param_groups for p in group['params']}
    other = {'backbone.norm3.weight', 'backbone.norm3.bias', 'head.fc.weight', 'head.fc.bias'}
    assert learned == {*adapters(model), *other}
    assert len(learned) == 4 + 2 * 2 * 5


def test_clips() -> None:
    clip = IMAGE.unsqueeze(2).repeat(1, 1, 4, 1, 1)
    kwargs = dict(window_size=(2, 4, 4), out_indices=(3,))
    plain = tiny(VideoSwinTransformerV2, **kwargs)
    model = tiny(LowRankVideoSwinTransformerV2, **kwargs)
    assert_close(model(clip), plain(clip))


@pytest.mark.parametrize('video', ['', 'Video'])
def test_v1(video: str, tmp_path: Path) -> None:
    """New adapters change nothing; trained ones are merged when a plain backbone loads them."""
    kwargs = dict(window_size=(2, 4, 4), out_indices=(3,)) if video else dict(window_size=4)
    plain_type = MODELS.get(f'{video}SwinTransformerV1')
    model = tiny(MODELS.get(f'LowRank{video}SwinTransformerV1'), adapted=EVERY, **kwargs)
    image = IMAGE.unsqueeze(2).repeat(1, 1, 4, 1, 1) if video else IMAGE
    for found, expected in zip(model(image), tiny(plain_type, **kwargs)(image)):
        assert_close(found, expected)
    for parameter in adapters(model).values():
        torch.nn.init.normal_(parameter, std=0.2)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'a.pth')
    source = dict(type='Pretrained', checkpoint=str(tmp_path / 'a.pth'))
    plain = tiny(plain_type, init_cfg=source, **kwargs)
    plain.init_weights()
    for found, expected in zip(plain.eval()(image), model.eval()(image)):
        assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_checkpoints_load_merged_into_other_backbones(tmp_path: Path) -> None:
    """By `init_cfg`, and after a conversion; with new adapters into one that has them too."""
    model = adapted()
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'a.pth')
    assert run_here('convert_checkpoint', tmp_path / 'a.pth', tmp_path / 'b.pth').returncode == 0
    assert not any('low_rank' in k for k in read_checkpoint_file(tmp_path / 'b.pth')['state_dict'])
    for name in ('a.pth', 'b.pth'):
        for cls in (SwinTransformerV2, LowRankSwinTransformerV2):
            init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / name))
            other = cls(TINY, window_size=4, init_cfg=init_cfg).eval()
            other.init_weights()
            for found, expected in zip(other(IMAGE), model.eval()(IMAGE)):
                assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('change', [dict(low_rank=0), dict(adapted=('q',)), dict(adapted=())])
def test_arguments_out_of_range(change) -> None:
    with pytest.raises(ValueError, match=f'{next(iter(change))}='):
        tiny(LowRankSwinTransformerV2, **change)


CONFIG = """
_base_ = [
    __import__('swinv2_dense').config_path('_base_/models/classifier{kind}.py'),
    __import__('swinv2_dense').config_path('_base_/datasets/imagenet_224.py'),
    __import__('swinv2_dense').config_path('_base_/schedules/adamw_30e_22kto1k.py'),
    __import__('swinv2_dense').config_path('_base_/runtime/classification.py'),
]
"""


def write(folder: Path, kind: str, data: Path) -> Path:
    (folder / 'page.py').write_text(CONFIG.format(kind=kind))
    cfg = Config.fromfile(folder / 'page.py')
    narrow_classifier(cfg.model)
    cfg.model.head.num_classes = 3
    use_folders(cfg, data)
    cfg.train_dataloader.batch_size = 3
    cfg.train_cfg.max_epochs, cfg.param_scheduler = 1, None
    cfg.optim_wrapper.optimizer.lr = 0.05
    for part in ('train', 'val', 'test'):
        for step in cfg[f'{part}_dataloader'].dataset.pipeline:
            for key in ('size', 'crop_size'):
                if key in step:
                    step[key] = 32
    path = folder / f'config{kind}.py'
    cfg.dump(path)
    return path


def test_a_run_starts_from_a_plain_checkpoint_and_serves_a_plain_config(tmp_path: Path) -> None:
    """`load_from` in both directions; the metrics of the merged weights are those of the run."""
    names = ('n01440764', 'n02510455', 'n15075141')
    data = write_class_folders(tmp_path / 'data', names, dict(train=2, val=3))
    plain, low_rank = (write(tmp_path, kind, data) for kind in ('', '_low-rank'))
    start = tmp_path / 'start.pth'
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(plain).model)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    torch.save(dict(state_dict=model.state_dict()), start)
    work = tmp_path / 'work'
    flags = ('--work-dir', work, '--cfg-options', f'load_from={start}')
    result = run_here('train', low_rank, *flags)
    assert result.returncode == 0, result.stderr
    trained = work / 'epoch_1.pth'
    state, before = read_checkpoint_file(trained)['state_dict'], model.state_dict()
    name = 'backbone.layers.0.blocks.0.attn.qkv'
    assert state[f'{name}.weight'].equal(before[f'{name}.weight'])
    assert state[f'{name}.low_rank_up'].any()
    tested = []
    for config in (low_rank, plain):
        out = tmp_path / f'{config.stem}.pkl'
        flags = ('--out', out, '--work-dir', tmp_path / f'test {config.stem}')
        result = run_here('test', config, trained, *flags)
        assert result.returncode == 0, result.stderr
        samples = pickle.loads(out.read_bytes())
        tested.append(torch.stack([sample['pred_score'] for sample in samples]))
    assert_close(tested[0], tested[1], atol=1e-5, rtol=1e-5)
    assert tested[0].std(0).max() > 1e-4
    assert 'acc/top1' in scalars(work)[-1]
    (log,) = (tmp_path / 'test config').glob('*/*.log')
    assert '10 low-rank adapters added to the weights of backbone' in log.read_text()
