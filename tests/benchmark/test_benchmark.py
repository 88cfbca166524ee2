"""The commands analyze and benchmark; operation counts against torch's counter."""

from __future__ import annotations

import json

import pytest
import torch
from commands import run_here
from kept_bytes import kept_bytes
from tiny_models import tiny
from torch.utils.flop_counter import FlopCounterMode

from swinv2_dense import SwinTransformerV2, VideoSwinTransformerV2
from swinv2_dense.arguments import ARCHS
from swinv2_dense.benchmark import compare, peers_v1
from swinv2_dense.benchmark.worker import Case, build_ours, build_peer
from swinv2_dense.costs import counts


@pytest.mark.parametrize(
    'cls, sizes, kwargs',
    [
        (SwinTransformerV2, (512, 640), dict(arch='b', window_size=12)),
        (SwinTransformerV2, (231, 98), dict(arch='g', window_size=[8, 16, 7, 5])),
        (VideoSwinTransformerV2, (9, 112, 90), dict(arch='t', window_size=(4, 7, 6))),
    ],
)
def test_counts_equal_those_of_the_operators(cls, sizes, kwargs):
    """torch counts every product of the plain form, on the meta device."""
    with torch.device('meta'):
        model = cls(out_indices=(0, 1, 2, 3), **kwargs)
        image = torch.randn(1, 3, *sizes)
    parts = counts.count(model, sizes)
    counter = FlopCounterMode(display=False)
    with counter:
        model(image)
    assert sum(part.macs for part in parts) * 2 == counter.get_total_flops()
    by_operator = counter.get_flop_counts()['Global']
    attention = sum(n for op, n in by_operator.items() if op is torch.ops.aten.bmm)
    assert sum(part.attention for part in parts) * 2 == attention
    assert sum(part.params for part in parts) == sum(p.numel() for p in model.parameters())


def test_kept_by_hand():
    """Linear and GELU keep their inputs; views and weights are not counted."""
    layer = torch.nn.Linear(10, 20)
    kept = counts.Kept(layer)
    x = torch.randn(3, 10, requires_grad=True)
    with kept.hooks:
        layer(x)
        assert kept.take() == 3 * 10 * 4
        torch.nn.functional.gelu(layer(x))
    assert kept.take() == 3 * 20 * 4


def test_kept_per_stage_adds_up_and_leaves_no_hooks():
    model, image = tiny(), torch.randn(1, 3, 96, 128)
    kept = counts.kept_per_stage(model, image)
    assert len(kept) == 5
    assert sum(kept) == kept_bytes(model, image)
    assert kept[0] > kept[1] > kept[3]
    assert not any(stage._forward_hooks or stage._forward_pre_hooks for stage in model.layers)


def test_largest_tensor_is_not_a_parameter():
    layer = torch.nn.Linear(100, 200)
    with torch.no_grad(), counts.LargestTensor(layer) as largest:
        layer(torch.randn(3, 100))
    assert (largest.num_bytes, largest.shape) == (2400, (3, 200))


def test_analyze(tmp_path):
    pytest.importorskip('mmdet')
    result = run_here('analyze', config := tmp_path / 'x.py', '--size', 64, 64)
    assert result.returncode == 2
    assert str(config) in result.stderr
    config.write_text(
        "custom_imports = dict(imports=['swinv2_dense'])\ndefault_scope = 'mmdet'\n"
        "model = dict(type='RetinaNet', backbone=dict(type='SwinTransformerV2', arch='t'), "
        "neck=dict(type='FPN', in_channels=[96, 192, 384, 768], out_channels=8, num_outs=5), "
        "bbox_head=dict(type='RetinaHead', num_classes=3, in_channels=8, feat_channels=8))"
    )
    result = run_here('analyze', config, '--size', 64, 96)
    assert result.returncode == 0, result.stderr
    for line in ('27,579,498', 'attention GMACs', 'largest tensor', 'kept for the backward pass'):
        assert line in result.stdout
    for flags, message in (
        (['--size', 64], 'must be 2 positive numbers'),
        (['--size', 64, 64, '--runs', 0], '--runs 0 must be at least 1'),
    ):
        result = run_here('analyze', config, *flags)
        assert result.returncode == 2
        assert message in result.stderr


CONFIGS = {
    'mmseg': (
        "type='TiledEncoderDecoder', backbone=dict(type='SwinTransformerV2', out_indices=(3,)), "
        "decode_head=dict(type='FCNHead', in_channels=768, channels=8, num_classes=2, "
        "norm_cfg=dict(type='BN'))",
        2,
        'decode_head',
    ),
    'mmaction': (
        "type='ChunkedRecognizer3D', backbone=dict(type='VideoSwinTransformerV2'), "
        "cls_head=dict(type='I3DHead', in_channels=768, num_classes=2)",
        3,
        'cls_head',
    ),
}


@pytest.mark.parametrize('scope', CONFIGS)
def test_analyze_of_other_libraries(scope, tmp_path):
    """The models of this package, which a config need not import."""
    settings, rank, part = CONFIGS[scope]
    config = tmp_path / 'x.py'
    config.write_text(f"default_scope = '{scope}'\nmodel = dict({settings})")
    result = run_here('analyze', config, '--count-only', '--size', *[32] * rank)
    assert result.returncode == 0, result.stderr
    assert part in result.stdout and 'patch merging 3' in result.stdout
    assert 'largest tensor' not in result.stdout


@pytest.mark.parametrize(
    'model, message',
    [
        ("dict(type='NoSuchModel')", "'NoSuchModel' is not a registered model"),
        ("dict(type='FPN', in_channels=[8], out_channels=8, num_outs=1)", 'model.backbone is None'),
    ],
)
def test_analyze_names_what_is_wrong(model, message, tmp_path):
    config = tmp_path / 'x.py'
    config.write_text(f"default_scope = 'mmdet'\nmodel = {model}")
    result = run_here('analyze', config, '--size', 32, 32)
    assert result.returncode == 2
    assert message in result.stderr and str(config) in result.stderr
    assert 'Traceback' not in result.stderr


@pytest.mark.parametrize(
    'phases', [['training'], pytest.param(['forward', 'training'], marks=pytest.mark.slow)]
)
def test_benchmark_against_a_peer(phases, tmp_path):
    pytest.importorskip('transformers')
    flags = ['--size', 64, '--window', 4, '--phase', *phases, '--runs', 1]
    result = run_here('benchmark', *flags, '--against', 'hf', '--out', tmp_path)
    assert result.returncode == 0, result.stderr
    assert '| T 64, window 4, training | hf | ' in result.stdout
    record = json.loads((tmp_path / 'benchmark.json').read_text())
    assert len(record['rows']) == len(phases)
    assert record['environment']['torch'] == torch.__version__
    for row in record['rows']:
        assert row['difference'] < 1e-4
        for library in ('ours', 'hf'):
            assert len(row[library]['seconds']) == 1 and row[library]['seconds'][0] > 0
    training = record['rows'][-1]['ours']['peak_mb']
    gradients = 27_579_498 * 4 / 2**20
    assert training > gradients
    assert (tmp_path / 'benchmark.png').stat().st_size > 5000
    assert (tmp_path / 'benchmark.md').read_text() in result.stdout + '\n'


def test_benchmark_of_video_with_settings():
    flags = ['--size', '4x32x48', '--window', '2x4x4', '--phase', 'training', '--runs', 1]
    result = run_here('benchmark', *flags, '--with-cp', '--sequential-attention')
    assert result.returncode == 0, result.stderr
    title = 'T 4x32x48, window 2x4x4, training, ours with checkpointing, ours sequential'
    assert f'| {title} |' in result.stdout


@pytest.mark.slow
def test_benchmark_of_video_against_swin_v1(tmp_path):
    """A different function: its maps are not compared, and the table says so."""
    pytest.importorskip('mmaction')
    flags = ['--size', '4x32x48', '--window', '2x4x4', '--phase', 'training', '--runs', 1]
    result = run_here('benchmark', *flags, '--against', 'mmaction2', '--out', tmp_path)
    assert result.returncode == 0, result.stderr
    assert compare.V1_NOTE in result.stdout
    assert result.stderr.count('| V1 |') == result.stdout.count('| V1 |') == 1
    (row,) = json.loads((tmp_path / 'benchmark.json').read_text())['rows']
    assert 'difference' not in row
    for library in ('ours', 'mmaction2'):
        assert len(row[library]['seconds']) == 1 and row[library]['seconds'][0] > 0
        assert row[library]['peak_mb'] > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    'flags',
    [['--size', 256, '--window', 4, '--against', 'mmdet,hf']]
    + [['--size', '8x64x64', '--window', '2x2x2', '--against', 'mmaction2']],
    ids=['images', 'video'],
)
def test_benchmark_of_v1(tmp_path, flags):
    """The same function as the other libraries': maps are compared, for video as well."""
    pytest.importorskip('transformers')
    flags = ['--version', 1, *flags, '--phase', 'training', '--runs', 1, '--out', tmp_path]
    result = run_here('benchmark', *flags)
    assert result.returncode == 0, result.stderr
    assert compare.V1_NOTE not in result.stdout
    rows = json.loads((tmp_path / 'benchmark.json').read_text())['rows']
    assert all(row['difference'] < 1e-4 for row in rows)


def test_the_peer_for_video_is_the_published_one():
    """Video Swin-T has 28.2 million parameters with the head of Kinetics-400 (arXiv 2106.13230)."""
    pytest.importorskip('mmaction')
    model, maps = peers_v1.mmaction2(ARCHS['t'], (8, 7, 7))
    output_norms = 2 * (96 + 192 + 384)
    head = 768 * 400 + 400
    params = sum(p.numel() for p in model.parameters()) - output_norms + head
    assert round(params / 1e6, 1) == 28.2
    with torch.no_grad():
        found = maps(torch.zeros(1, 3, 2, 32, 32))
    assert [tuple(m.shape[1:3]) for m in found] == [(96, 1), (192, 1), (384, 1), (768, 1)]
    case = Case('t', (64, 64), (4, 4), 'forward', 'fp32', 'fp32', 'cpu', 1)
    with pytest.raises(ValueError, match='mmaction2 needs clips, .* not T 64, window 4'):
        build_peer(case, 'mmaction2', None)


def test_cases_reach_the_model():
    case = Case(
        't', (4, 32, 48), (2, 4, 4), 'training', 'fp32', 'bf16', 'cpu', 1, True, True, 'sdpa'
    )
    model, _ = build_ours(case, None, None)
    assert isinstance(model, VideoSwinTransformerV2)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert all(model.with_cp)
    attn = model.layers[3].blocks[1].attn
    assert (attn.window_size, attn.sequential, attn.backend) == ((2, 4, 4), True, 'sdpa')


@pytest.mark.parametrize(
    'flags, message',
    [
        (['--size', '4x32x32', '--window', '8', '--against', 'hf'], 'hf needs square images'),
        (['--size', '4x32x32', '--window', '8x8'], 'different numbers of axes'),
        (['--against', 'detectron'], 'choose from hf, timm, mmpretrain, mmaction2, mmdet'),
        (['--runs', '0'], 'must be at least 1'),
        (['--against', 'mmdet', '--size', '64', '--window', '4'], 'mmdet has no V2: compare it'),
        (['--weights', 'bf16', '--against', 'hf'], '--weights bf16 works for our model only'),
    ],
)
def test_benchmark_names_what_is_wrong(flags, message):
    result = run_here('benchmark', *flags)
    assert result.returncode != 0
    assert message in result.stdout + result.stderr


def test_difference_of_maps(tmp_path):
    files = [tmp_path / 'theirs.pth', tmp_path / 'ours.pth']
    torch.save([torch.tensor([3.0, 4.0]), torch.tensor([1.0, 0.0])], files[0])
    torch.save([torch.tensor([3.0, 4.5]), torch.tensor([1.0, 0.0])], files[1])
    assert compare.largest_difference(files) == pytest.approx(0.1)
    torch.save([torch.zeros(3)], files[1])
    with pytest.raises(compare.ChildError, match=r'shapes \[\(2,\), \(2,\)\], ours \[\(3,\)\]'):
        compare.largest_difference(files)


@pytest.mark.slow
def test_models_that_differ_are_not_compared():
    """The speed of a different function says nothing."""
    case = Case('t', (64, 64), (4, 4), 'forward', 'fp32', 'fp32', 'cpu', 1)
    pytest.importorskip('transformers')
    (row,) = compare.run_case(case, ['hf'], 1, tolerance=0.0)
    assert 'feature maps of hf and ours differ by ' in row['error']
    assert 'not the same model' in compare.table([row])


@pytest.mark.slow
@pytest.mark.parametrize('phase', ['forward', 'training'])
def test_peak_hardly_grows_with_the_window(phase, monkeypatch):
    """Peaks of the process at 1024 x 1024, as the benchmark measures them.

    The C library has to return freed memory: heap fragmentation differs by 100 MB between runs.
    """
    monkeypatch.setenv('MALLOC_MMAP_THRESHOLD_', '1000000')
    peaks = {}
    for window in (8, 16, 32, 64):
        case = Case('t', (1024, 1024), (window, window), phase, 'fp32', 'fp32', 'cpu', 1)
        (row,) = compare.run_case(case, [], 1)
        peaks[window] = row['ours']['peak_mb']
    small = [peaks[window] for window in (8, 16, 32)]
    assert max(small) < 1.3 * min(small), peaks
    assert max(peaks.values()) < 1.6 * min(peaks.values()), peaks


@pytest.mark.slow
@pytest.mark.parametrize('phase', ['forward', 'training'])
def test_b_on_a_clip_of_320_pixels_fits_into_8_gb(phase):
    """16 frames, windows of 3200 tokens, with checkpointing; parameters included."""
    case = Case('b', (16, 320, 320), (8, 20, 20), phase, 'fp32', 'fp32', 'cpu', 1, with_cp=True)
    (row,) = compare.run_case(case, [], 1)
    with torch.device('meta'):
        model = VideoSwinTransformerV2('b', out_indices=(0, 1, 2, 3))
    weights = sum(p.numel() for p in model.parameters()) * 4 / 2**20
    assert weights + row['ours']['peak_mb'] < 8 * 1024
