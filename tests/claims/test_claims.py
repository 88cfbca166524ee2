"""The claims in miniature: generated scenes, what is measured, and files that grow by seed."""

from __future__ import annotations

import json
import math

import pytest
import torch
from commands import run_here
from torch.testing import assert_close

from swinv2_dense.claims import activations, logits, memory, resolution
from swinv2_dense.claims.report import Results, table
from swinv2_dense.claims.scenes import NOISE, Scenes, draw_scenes, render
from swinv2_dense.claims.training import Classifier, accuracy, train
from swinv2_dense.errors import ConfigError

SMALL = dict(embed_dims=8, depths=(2,), num_heads=(2,))


def test_labels_are_directions():
    """Sector k covers 45 k to 45 (k + 1) degrees, x to the right and y down."""
    scenes = draw_scenes(500, torch.Generator().manual_seed(0))
    for (red, green), label in zip(scenes.centers.tolist(), scenes.labels.tolist()):
        degrees = math.degrees(math.atan2(green[0] - red[0], green[1] - red[1])) % 360
        assert 45 * label <= degrees + 1e-3 and degrees - 1e-3 <= 45 * (label + 1)
    counts = scenes.labels.bincount(minlength=8)
    assert counts.min() > 500 / 8 / 2  # nobody wins by guessing


def test_a_larger_image_samples_the_same_scene_more_finely():
    """Noise included: every third pixel is one of the image of a third of the size."""
    scenes = draw_scenes(2, torch.Generator().manual_seed(0))
    small, large = (render(scenes, size, torch.Generator().manual_seed(1)) for size in (32, 96))
    assert_close(large[..., 1::3, 1::3], small, atol=1e-4, rtol=0)


@pytest.mark.parametrize('size', [32, 64, 100])
def test_noise_has_the_same_statistics_at_every_size(size):
    """Mean 0 and NOISE in every pixel; neighbors at 64 pixels are independent."""
    scenes = draw_scenes(400, torch.Generator().manual_seed(0))
    blue = render(scenes, size, torch.Generator().manual_seed(1))[:, 2]
    assert blue.mean().abs() < 0.01
    assert_close(blue.std(), torch.tensor(NOISE), atol=0.01, rtol=0)
    assert_close(blue.std(dim=0), torch.full((size, size), NOISE), atol=0.06, rtol=0)
    if size == 64:
        assert ((blue[:, 1:] * blue[:, :-1]).mean() / NOISE**2).abs() < 0.01


def test_blobs_are_where_the_scene_says():
    scenes = Scenes(torch.tensor([[[0.25, 0.5], [0.75, 0.25]]]), torch.tensor([0]))
    generator = torch.Generator().manual_seed(0)
    images = sum(render(scenes, 32, generator) for _ in range(100)) / 100
    assert divmod(images[0, 0].argmax().item(), 32)[0] in (7, 8)
    assert divmod(images[0, 1].argmax().item(), 32)[0] in (23, 24)


def test_training_is_reproducible_and_learns_at_all():
    def losses() -> list[float]:
        torch.manual_seed(0)
        model = Classifier(SMALL, 4)
        return list(train(model, 32, 5, 1e-2, seed=3))

    first = losses()
    assert first == losses()
    assert len(set(first)) == 5
    assert 0 <= accuracy(Classifier(SMALL, 4), 32) <= 100


def test_tables_learn_faster():
    """After a step of AdamW from zero moments, parameters differ by their learning rates."""
    torch.manual_seed(0)
    model = Classifier(SMALL, 4, position_bias='table', block='pre-norm')
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    list(train(model, 32, 1, 1e-3, seed=0))
    steps = {n: (p.detach() - before[n]).abs().max().item() for n, p in model.named_parameters()}
    tables = [step for name, step in steps.items() if 'bias_table' in name]
    assert len(tables) == 2
    assert min(tables) == pytest.approx(50 * steps['head.bias'], rel=0.05)


def test_logits_are_those_of_attention():
    """By hand for one block: the products of normalized queries and keys, with their scale."""
    torch.manual_seed(0)
    model = Classifier(dict(embed_dims=8, depths=(1,), num_heads=(2,)), 8).double()
    found = logits.largest_logits(model.float())
    attn, inputs = model.backbone.layers[0].blocks[0].attn, []
    attn.register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
    from swinv2_dense.claims.training import test_images as scenes

    with torch.no_grad():
        model(next(scenes(logits.SIZE))[0])
        q, k, _ = (inputs[0].flatten(1, 2) @ attn.qkv.weight.T).chunk(3, -1)
        for head in (0, 1):
            a, b = (t[..., 4 * head : 4 * head + 4] for t in (q + attn.q_bias, k))
            cosines = torch.nn.functional.cosine_similarity(a[:, :, None], b[:, None], dim=-1)
            assert found[head] == pytest.approx(10 * cosines.abs().max().item(), rel=1e-4)


@pytest.mark.parametrize(
    'losses, expected',
    [([1.0] * 30, 0), ([1.0] * 25 + [1.6, 1.0], 1), ([1.0] * 21 + [float('nan')], 1)]
    + [([1.0] * 10 + [9.0] + [1.0] * 10, 0), ([2.0**-i for i in range(40)], 0)],
)
def test_spikes_by_hand(losses, expected):
    """After 20 steps, half above the median of the last 20."""
    assert logits.spikes(losses) == expected


def test_amplitudes_of_identities_are_those_of_the_embedding():
    torch.manual_seed(0)
    arch = dict(embed_dims=8, depths=(3,), num_heads=(2,))
    same = activations.amplitudes(Classifier(arch, 4, block='res-post-norm'))
    assert same == pytest.approx([1.0] * 3, rel=0.01)  # the patch embedding ends with a norm
    grown = activations.amplitudes(Classifier(arch, 4, block='pre-norm'))
    assert grown[0] != grown[2]


def test_zero_halves_the_optimizer():
    """Two moments per parameter, in whole parameters."""
    total = sum(memory.parameter_sizes()) * 8
    one, two = (memory.largest_share(memory.parameter_sizes(), n) * 8 for n in (1, 2))
    assert one == total
    assert total / 2 <= two < 0.6 * total


@pytest.mark.slow
def test_measured_optimizer_state_is_the_derived_one():
    for processes in (1, 2):
        expected = 8 * memory.largest_share(memory.parameter_sizes(), processes)
        assert max(memory.optimizer_bytes(processes)) == expected


def test_runs_grow_by_seed(tmp_path):
    flags = ('claims', 'logits', '--steps', 1, '--out', tmp_path)
    first = run_here(*flags, '--seeds', 1)
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith(logits.CLAIM)
    before = json.loads((tmp_path / 'logits.json').read_text())
    again = run_here(*flags, '--seeds', 1)
    assert 'seed 0: already in' in again.stdout
    assert json.loads((tmp_path / 'logits.json').read_text()) == before
    assert (tmp_path / 'logits.png').stat().st_size > 5000
    assert '| cosine | 0.002 |' in (tmp_path / 'logits.md').read_text()
    other = run_here('claims', 'logits', '--steps', 2, '--seeds', 1, '--out', tmp_path)
    assert other.returncode == 2
    assert 'holds runs of 1 steps, not 2' in other.stderr


def test_tables_show_the_median_and_the_extremes():
    rows = [dict(bias='log', size=64, window=8, accuracy=v) for v in (90.0, 70.0, 80.0)]
    (*_, line) = table(resolution, rows).splitlines()
    assert line == '| log | 64 | 8 | 80 [70, 90] |  |'


def test_foreign_results_are_refused(tmp_path):
    path = tmp_path / 'logits.json'
    path.write_text('[]')
    with pytest.raises(ConfigError, match='is not a file of results: remove it'):
        Results.read(path, 10)
