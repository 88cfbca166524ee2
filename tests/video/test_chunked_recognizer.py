"""Views in bounded chunks: the scores of all views at once, and their memory."""

from __future__ import annotations

import copy
import os
import subprocess
import sys

import pytest
import torch
from commands import SUPPORT
from torch import nn

import swinv2_dense  # noqa: F401  patches mmaction2's import

pytest.importorskip('mmaction')

from mmaction.models import FeatureHead, Recognizer3D
from mmaction.structures import ActionDataSample
from mmaction.utils import register_all_modules

from swinv2_dense.video import ChunkedRecognizer3D

WORKER = SUPPORT / 'recognizer_memory.py'
SIZE = (3, 4, 16, 16)


class Pathways(nn.Module):
    """Two maps of a clip, as SlowFast's backbone or MViT's nests them."""

    def __init__(self, nest: str) -> None:
        super().__init__()
        self.slow, self.fast = nn.Conv3d(3, 8, 4, 4), nn.Conv3d(3, 4, (1, 4, 4), (1, 4, 4))
        self.nest = nest

    def forward(self, clip: torch.Tensor) -> object:
        slow, fast = self.slow(clip).tanh(), self.fast(clip).tanh()
        if self.nest == 'mvit':
            return ([slow, slow.mean((2, 3, 4))], [fast, slow.amax((2, 3, 4))])
        return [slow, fast] if self.nest == 'list' else (slow, fast)


BACKBONE = dict(
    type='VideoSwinTransformerV2',
    arch=dict(embed_dims=16, depths=(1, 1), num_heads=(1, 2)),
    window_size=(2, 2, 2),
    out_indices=(1,),
)
I3D = dict(type='I3DHead', num_classes=5, in_channels=32)
CASES = dict(
    i3d=(BACKBONE, I3D),
    slowfast=(dict(type=Pathways, nest='tuple'), dict(I3D, type='SlowFastHead', in_channels=12)),
    slowfast_list=(
        dict(type=Pathways, nest='list'),
        dict(I3D, type='SlowFastHead', in_channels=12),
    ),
    mvit=(dict(type=Pathways, nest='mvit'), dict(I3D, type='MViTHead', in_channels=8)),
)


def models(limit: int | None, case: str = 'i3d', average: str | None = 'prob') -> list:
    """A chunked recognizer in fp64, and mmaction2's with the same weights and no limit."""
    register_all_modules()
    backbone, head = CASES[case]
    built = []
    for kind, test_cfg in (
        (ChunkedRecognizer3D, dict(max_testing_views=limit)),
        (Recognizer3D, {}),
    ):
        model = kind(
            backbone=copy.deepcopy(backbone),
            cls_head=dict(head, average_clips=average),
            data_preprocessor=dict(
                type='ActionDataPreprocessor',
                mean=[123.0, 116.0, 103.0],
                std=[58.0, 57.0, 56.0],
                format_shape='NCTHW',
            ),
            test_cfg=test_cfg,
        )
        built.append(model.double().eval())
    for parameter in built[0].parameters():
        nn.init.normal_(parameter, std=0.3)
    built[1].load_state_dict(built[0].state_dict())
    return built


def batch(videos: int, views: int, size: tuple[int, ...] = SIZE) -> dict:
    clips = torch.randint(0, 256, (videos, views, *size), dtype=torch.uint8)
    return dict(inputs=list(clips), data_samples=[ActionDataSample() for _ in range(videos)])


def scores(model: Recognizer3D, data: dict, step: str = 'test_step') -> torch.Tensor:
    with torch.no_grad():
        samples = getattr(model, step)(copy.deepcopy(data))
    return torch.stack([sample.pred_score for sample in samples])


def same(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Equal within fp64 rounding, and not the same for every video."""
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)
    assert len(expected) == 1 or expected.std(dim=0).max() > 1e-5


@pytest.mark.parametrize('average', ['prob', 'score', None])
@pytest.mark.parametrize('videos, views, limit', [(1, 20, 3), (3, 12, 5), (4, 1, 2), (2, 3, 100)])
def test_scores_are_those_of_all_views_at_once(videos, views, limit, average):
    """4 x 5, 4 x 3 and 1 x 1 views; chunks end within videos and hold views of several."""
    ours, theirs = models(limit, average=average)
    data = batch(videos, views)
    expected = scores(theirs, data)
    same(scores(ours, data), expected)
    same(scores(ours, data, 'val_step'), expected)
    assert expected.shape == ((videos, 5) if average else (videos, views, 5))


@pytest.mark.parametrize('case', CASES)
def test_any_backbone_and_head(case):
    ours, theirs = models(2, case)
    data = batch(2, 5)
    same(scores(ours, data), scores(theirs, data))


def test_features_of_views():
    """mmaction2's feature extraction puts a `FeatureHead` in place of the head."""
    data, features = batch(2, 5), []
    for model in models(2):
        model.cls_head = FeatureHead(average_clips='score')
        with torch.no_grad():
            features.append(model.test_step(copy.deepcopy(data)))
    assert features[0].shape == (2, 32)
    torch.testing.assert_close(*features, rtol=1e-11, atol=1e-12)


def test_chunks_never_exceed_the_limit():
    ours, _ = models(3)
    seen: dict[str, list[int]] = dict(backbone=[], data_preprocessor=[])
    ours.backbone.register_forward_pre_hook(lambda m, args: seen['backbone'].append(len(args[0])))
    ours.data_preprocessor.register_forward_pre_hook(
        lambda m, args: seen['data_preprocessor'].append(len(args[0]['inputs'][0]))
    )
    scores(ours, batch(2, 4))
    assert seen == dict(backbone=[3, 3, 2], data_preprocessor=[3, 3, 2])


def test_preprocessed_views_go_in_chunks_too():
    """FSDP's wrapper calls the data preprocessor itself, then `predict`."""
    ours, theirs = models(3)
    data = ours.data_preprocessor(batch(2, 4))
    with torch.no_grad():
        found = ours(**copy.deepcopy(data), mode='predict')
        expected = theirs(**data, mode='predict')
    for a, b in zip(found, expected):
        torch.testing.assert_close(a.pred_score, b.pred_score, rtol=1e-11, atol=1e-12)


def test_videos_of_several_sizes_are_padded_as_by_mmaction2():
    ours, theirs = models(2)
    data = batch(1, 3)
    data['inputs'].append(batch(1, 3, (3, 4, 12, 20))['inputs'][0])
    data['data_samples'].append(ActionDataSample())
    same(scores(ours, data), scores(theirs, data))


def test_mmaction2_rejects_batches_of_several_videos():
    _, theirs = models(None)
    theirs.test_cfg = dict(max_testing_views=2)
    with pytest.raises(AssertionError, match='batch_size == 1'):
        scores(theirs, batch(2, 4))


def test_training_and_tests_without_a_limit_are_mmaction2s():
    ours, theirs = models(None)
    data = batch(2, 4)
    assert torch.equal(scores(ours, data), scores(theirs, data))
    for sample in data['data_samples']:
        sample.set_gt_label(1)
    clips = [clip[:1] for clip in data['inputs']]
    losses = []
    for model in models(2):
        model.load_state_dict(ours.state_dict())
        inputs = model.data_preprocessor(dict(data, inputs=clips), training=True)
        losses.append(model(**inputs, mode='loss')['loss_cls'])
    assert torch.equal(*losses)


@pytest.mark.parametrize('limit', [0, -1, 2.5, True, '4'])
def test_an_invalid_limit(limit):
    with pytest.raises(ValueError, match='max_testing_views'):
        models(limit)


def test_videos_with_different_numbers_of_views():
    ours, _ = models(2)
    data = batch(2, 4)
    data['inputs'][0] = data['inputs'][0][:3]
    with pytest.raises(ValueError, match=r'\[3, 4\] views.*batch_size=1'):
        scores(ours, data)


def peaks(*cases: str) -> list[int]:
    """MiB above the model and the uint8 views, in a process of its own."""
    # glibc gives buffers back to the system at once, instead of keeping them for the next ones.
    env = dict(os.environ, MALLOC_MMAP_THRESHOLD_='65536')
    command = [sys.executable, '-W', 'ignore', str(WORKER), *cases]
    result = subprocess.run(command, text=True, capture_output=True, timeout=600, env=env)
    assert result.returncode == 0, result.stderr[-2000:]
    return [int(number) for number in result.stdout.splitlines()[-1].split()]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_views():
    """60 views are 281 MiB of floats; mmaction2 holds them once and their parts on the way."""
    few, many, theirs = peaks('ChunkedRecognizer3D:4', 'ChunkedRecognizer3D:60', 'Recognizer3D:60')
    assert many - few < 20
    assert theirs > 250
