"""Loading into the backbone: report, errors, pretrained windows, and what training preserves."""

from __future__ import annotations

import pytest
import torch
from checkpoint_layouts import Recognizer, official_layout, saved
from commands import SUPPORT
from forked import run_code, run_ranks
from layouts import TABLES, coords_table, depths_of, official, with_tables
from mmengine.hooks import EMAHook
from mmengine.logging import MMLogger
from mmengine.model import PretrainedInit
from mmengine.runner import Runner
from tiny_models import TINY, tiny
from torch.testing import assert_close

from swinv2_dense import SwinTransformerV2
from swinv2_dense.checkpoints.loading import load_pretrained
from swinv2_dense.errors import CheckpointError


def pretrained(path: str, **kwargs) -> SwinTransformerV2:
    kwargs = dict(arch=TINY, window_size=4) | kwargs
    model = SwinTransformerV2(**kwargs, init_cfg=dict(type='Pretrained', checkpoint=path))
    model.init_weights()
    return model.eval()


@pytest.mark.parametrize(
    'windows, pretrained_windows, expected',
    [
        ([8, 8, 8, 8], [0, 0, 0, 0], [8, 8, 8, 8]),
        ([16, 16, 16, 8], [0, 0, 0, 0], [16, 16, 16, 8]),
        ([24, 24, 24, 12], [12, 12, 12, 6], [12, 12, 12, 6]),
        ([16, 16, 16, 8], [12, 12, 12, 6], [12, 12, 12, 6]),
    ],
    ids=['w8', 'w16', '12to24', '12to16'],
)
def test_pretrained_windows_are_read_from_the_coordinate_tables(
    tmp_path, windows, pretrained_windows, expected
):
    """As in the published files: fine-tuning at a larger window kept the pretrained windows."""
    source = tiny(pretrained_window_sizes=expected, window_size=4).eval()
    model = pretrained(saved(tmp_path, official_layout(source, windows, pretrained_windows)))
    assert model.pretrained_window_sizes == [(p, p) for p in expected]
    image = torch.randn(1, 3, 50, 70)
    for out, reference in zip(model(image), source(image)):
        assert out.shape == reference.shape
    assert_close(model(image)[3], source(image)[3])  # the final norm is norm3


def test_report_counts_every_parameter(tmp_path):
    source = tiny()
    model = SwinTransformerV2(TINY, window_size=4)
    torch.nn.init.constant_(model.norm0.weight, 7.0)
    report = load_pretrained(model, saved(tmp_path, official_layout(source, [4] * 4, [0] * 4)))
    own = dict(model.named_parameters())
    norms = [f'norm{i}.{p}' for i in range(3) for p in ('bias', 'weight')]
    assert report.reinitialized == norms
    assert sorted(report.matched + norms) == sorted(own)
    assert report.unexpected == report.missing == []
    assert len(report.ignored) == 2 * sum(TINY['depths']) + 3
    text = str(report)
    assert f'matched: {len(own) - 6} parameters' in text
    assert "format: official (in 'model')" in text
    assert 'reinitialized: 6 (output norms that it lacks, set to 1 and 0) norm0.bias' in text
    assert f'ignored: {len(report.ignored)} (not part of the backbone) ' in text
    assert 'pretrained_window_sizes: [(4, 4), (4, 4), (4, 4), (4, 4)] (from its stored' in text
    assert torch.equal(model.norm0.weight, torch.ones(8))


def test_contradicting_pretrained_windows_raise_and_change_nothing(tmp_path):
    path = saved(tmp_path, official_layout(tiny(), [16, 16, 16, 8], [12, 12, 12, 6]))
    model = SwinTransformerV2(TINY, window_size=16, pretrained_window_sizes=[16, 16, 16, 8])
    before = model.state_dict()
    before = {k: v.clone() for k, v in before.items()}
    with pytest.raises(ValueError, match=r'\(16, 16\).*contradicts .*swinv2\.pth.*\(12, 12\)'):
        load_pretrained(model, path)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_unknown_pretrained_windows_must_be_given(tmp_path):
    checkpoint = official_layout(tiny(), [4] * 4, [0] * 4)
    state = {k: v for k, v in checkpoint['model'].items() if 'relative' not in k}
    path = saved(tmp_path, {'model': state})
    with pytest.raises(ValueError, match='Set pretrained_window_sizes of the backbone'):
        pretrained(path)
    assert pretrained(path, pretrained_window_sizes=6).pretrained_window_sizes == [(6, 6)] * 4


def test_a_missing_parameter_raises(tmp_path):
    """Otherwise a block would silently keep zero norms, and be the identity."""
    checkpoint = official_layout(tiny(), [4] * 4, [0] * 4)
    del checkpoint['model']['layers.1.blocks.0.norm2.weight']
    with pytest.raises(ValueError, match=r'lacks 1 of .* layers\.1\.blocks\.0\.norm2\.weight'):
        pretrained(saved(tmp_path, checkpoint))


def test_values_that_do_not_fit_are_named(tmp_path):
    """The same architecture, but other channels, patch sizes or dtypes."""
    checkpoint = official_layout(tiny(), [4] * 4, [0] * 4)
    path = saved(tmp_path, checkpoint)
    with pytest.raises(CheckpointError, match='1 parameters differ, first: patch_emb.*2, 2'):
        pretrained(path, patch_size=2)
    with pytest.raises(CheckpointError, match="takes 3 bands.*in_channels=4; set new_bands='rep"):
        pretrained(path, in_channels=4)
    with torch.device('meta'):
        model = SwinTransformerV2(TINY, window_size=4)
    with pytest.raises(CheckpointError, match='meta device'):
        load_pretrained(model, path)
    state = checkpoint['model']
    state['layers.0.blocks.0.mlp.fc1.weight'] = torch.ones(32, 8, dtype=torch.int8)
    with pytest.raises(CheckpointError, match='has dtype torch.int8 and must be dequantized'):
        pretrained(saved(tmp_path, checkpoint))


def test_a_final_norm_beside_output_norms_is_reported(tmp_path):
    source = tiny(pretrained_window_sizes=4)
    state = {**source.state_dict(), 'norm.weight': torch.full((64,), 9.0)}
    model = SwinTransformerV2(TINY, pretrained_window_sizes=4)
    report = load_pretrained(model, saved(tmp_path, state))
    assert report.unexpected == ['norm.weight']
    assert torch.equal(model.norm3.weight, source.norm3.weight)


def test_windows_of_unlike_sides_are_read_per_axis(tmp_path):
    ours = dict(tiny().state_dict())
    state = with_tables(official(ours), TABLES['official'], depths_of(ours), [8] * 4, [6] * 4)
    for key in [k for k in state if k.endswith('relative_coords_table')]:
        state[key] = state[key][
            :, 4:-4
        ]  # 4 x 8 tokens; offsets of rows divided by 3, of columns by 5
        state[key][..., 0] *= coords_table(4, 4)[0, -1, 0, 0] / state[key][0, -1, 0, 0]
    assert pretrained(saved(tmp_path, state)).pretrained_window_sizes == [(4, 6)] * 4


def test_weights_of_a_compiled_model_keep_their_pretrained_windows(tmp_path):
    source = torch.nn.Module()
    source.backbone = torch.compile(tiny(window_size=8))
    path = saved(tmp_path, dict(state_dict=source.state_dict()))
    assert any('_orig_mod' in key for key in source.state_dict())
    assert pretrained(path).pretrained_window_sizes == [(8, 8)] * 4


@pytest.mark.parametrize(
    'change',
    [
        dict(embed_dims=16),
        dict(depths=(2, 1, 1, 2)),
        dict(num_heads=(2, 4, 8, 16)),
        dict(extra_norm_every=1),
    ],
    ids=['channels', 'shallower', 'heads', 'norms'],
)
def test_another_arch_is_named(tmp_path, change):
    """Even if every parameter of the model is found, like those of T in S."""
    source = tiny(arch=TINY | dict(extra_norm_every=2))
    path = saved(tmp_path, official_layout(source, [4] * 4, [0] * 4))
    with pytest.raises(CheckpointError, match=r'it is arch=dict\(embed_dims=8.*builds arch=dict'):
        pretrained(path, arch=TINY | change)


def test_the_arch_of_a_release_is_named(tmp_path):
    """S has all parameters of T."""
    with torch.device('meta'):
        state = SwinTransformerV2('s').state_dict()
    state = {k: torch.zeros(1).expand(v.shape) for k, v in state.items()}  # a small file
    path = saved(tmp_path, {'model': state})
    with pytest.raises(CheckpointError, match='it is SwinV2-S, the config builds SwinV2-T'):
        pretrained(path, arch='t')


def test_a_deeper_model_may_be_filled_in_part(tmp_path):
    source = tiny()
    path = saved(tmp_path, official_layout(source, [4] * 4, [0] * 4))
    arch = dict(TINY, depths=(2, 2, 2, 2))
    with pytest.raises(CheckpointError, match=r'lacks 17 of .*layers\.2\.blocks\.1.*allow_missing'):
        pretrained(path, arch=arch)
    init_cfg = dict(type='Pretrained', checkpoint=path, allow_missing=True)
    model = SwinTransformerV2(arch, window_size=4, init_cfg=init_cfg)
    model.init_weights()
    assert torch.equal(model.norm3.weight, source.norm3.weight)
    assert torch.equal(model.layers[2].blocks[1].norm1.weight, torch.zeros(32))
    with pytest.raises(ValueError, match='may have prefix, allow_missing and new_bands'):
        SwinTransformerV2(init_cfg=dict(init_cfg, strict=True)).init_weights()


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
    with pytest.raises(ValueError, match='Pretrained cannot be combined'):
        model.init_weights()


def test_weights_without_metadata_warn(caplog):
    state = dict(tiny(window_size=8).state_dict())
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    tiny(window_size=4).load_state_dict(state)
    logger.removeHandler(caplog.handler)
    (message,) = caplog.messages
    assert 'pretrained_window_sizes of the backbone stays [(4, 4)' in message


def test_load_state_dict_reads_and_drops_stored_tables():
    """A detector of another package with official names passes strict loading."""
    source = torch.nn.Sequential(tiny())
    state = official_layout(source[0], [12, 12, 12, 6], [12, 12, 12, 6])['model']
    state = {f'0.{k}': v for k, v in state.items() if not k.startswith(('norm.', 'head'))}
    state |= {k: v for k, v in source.state_dict().items() if '.norm' in k}
    model = torch.nn.Sequential(tiny(window_size=4))
    model.load_state_dict(state, strict=True)
    assert model[0].pretrained_window_sizes == [(12, 12)] * 3 + [(6, 6)]


def test_not_swinv2_raises(tmp_path):
    for checkpoint in ({'model': {'conv1.weight': torch.zeros(1)}}, [1], {'state_dict': {}}):
        with pytest.raises(CheckpointError, match='no.* Swin Transformer'):
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


# ------------------------------------------------------------------------------------------- report


def test_the_report_is_logged(tmp_path, capsys):
    MMLogger.get_instance('swinv2_dense_test', log_level='INFO')
    pretrained(saved(tmp_path, official_layout(tiny(), [4] * 4, [0] * 4)))
    out = capsys.readouterr()
    assert 'matched: ' in out.out + out.err


NEW_PROCESS = """
import sys
import torch
from mmengine.runner import load_checkpoint
from checkpoint_layouts import Recognizer
model = Recognizer().eval()
load_checkpoint(model, sys.argv[1], strict=True)
image = torch.linspace(-1, 1, 3 * 40 * 52).view(1, 3, 40, 52)
torch.save([model.backbone.pretrained_window_sizes, model(image)[3]], sys.argv[2])
"""


EMA = [dict(type='EMAHook', momentum=0.5), dict(type='BackboneWeightsHook')]


@pytest.mark.parametrize('hooks', [[], EMA], ids=['plain', 'EMA'])
def test_pretrained_windows_survive_training_and_a_new_process(tmp_path, hooks, monkeypatch):
    """Trained at window 4 from a file of window 8; no config has pretrained windows."""
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
        experiment_name=f'pretrained_windows{len(hooks)}',
    )
    model = runner.train().eval()
    checkpoint, out = tmp_path / 'work' / 'iter_2.pth', tmp_path / 'out.pth'
    monkeypatch.setenv('PYTHONPATH', str(SUPPORT))
    result = run_code(NEW_PROCESS, checkpoint, out)
    assert result.returncode == 0, result.stderr
    pretrained_windows, restored = torch.load(out, weights_only=True)
    assert pretrained_windows == model.backbone.pretrained_window_sizes == [(8, 8)] * 3 + [(4, 4)]
    saved_states = torch.load(checkpoint, weights_only=False)
    for key, prefix in (('state_dict', ''), ('ema_state_dict', 'module.')):
        if key == 'state_dict' or len(hooks) > 1:
            metadata = saved_states[key]._metadata[f'{prefix}backbone']
            assert metadata['pretrained_window_sizes'] == [(8, 8)] * 3 + [(4, 4)]
    if len(hooks) > 1:  # state_dict holds the averaged weights
        average = next(h for h in runner.hooks if isinstance(h, EMAHook)).ema_model.module
        model.load_state_dict(dict(average.state_dict()))
    image = torch.linspace(-1, 1, 3 * 40 * 52).view(1, 3, 40, 52)
    with torch.no_grad():
        assert_close(restored, model(image)[3])


CONSOLIDATE = """
import sys, torch, torch.distributed as dist
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from swinv2_dense.checkpoints.pretrained_windows import attach_pretrained_windows
from checkpoint_layouts import Recognizer

dist.init_process_group('gloo')
model = Recognizer(sys.argv[1])
model.init_weights()
mesh = init_device_mesh('cpu', (dist.get_world_size(),))
for stage in model.backbone.layers:
    for block in stage.blocks:
        fully_shard(block, mesh=mesh)
fully_shard(model, mesh=mesh)
options = StateDictOptions(full_state_dict=True, cpu_offload=True)
state = get_model_state_dict(model, options=options)
if dist.get_rank() == 0:
    torch.save(dict(state_dict=attach_pretrained_windows(state, model)), sys.argv[2])
dist.destroy_process_group()
"""


def test_a_consolidated_sharded_state_keeps_the_pretrained_windows(tmp_path):
    """torch gathers the shards into a plain dict, which has no metadata."""
    source = tiny()
    path = saved(tmp_path, official_layout(source, [8, 8, 8, 4], [0] * 4))
    (tmp_path / 'consolidate.py').write_text(CONSOLIDATE)
    arguments = (tmp_path / 'consolidate.py', path, tmp_path / 'whole.pth')
    result = run_ranks(*arguments, PYTHONPATH=str(SUPPORT))
    assert result.returncode == 0, result.stdout
    model = pretrained(str(tmp_path / 'whole.pth'))
    assert model.pretrained_window_sizes == [(8, 8)] * 3 + [(4, 4)]
    assert torch.equal(model.norm3.weight, source.norm3.weight)
    strict = Recognizer()
    strict.load_state_dict(
        torch.load(tmp_path / 'whole.pth', weights_only=True)['state_dict'], strict=True
    )
    assert strict.backbone.pretrained_window_sizes == [(8, 8)] * 3 + [(4, 4)]
