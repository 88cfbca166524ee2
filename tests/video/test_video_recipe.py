"""What mmaction2 contributes to the recipes: smoothed labels, learning rates, frames sampled."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from mmengine.optim import build_optim_wrapper

import swinv2_dense  # noqa: F401  patches mmaction2's import

pytest.importorskip('mmaction')

from mmaction.datasets.transforms import SampleFrames, UniformSample
from mmaction.models.heads import I3DHead
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmaction.utils import register_all_modules

import swinv2_dense.video  # noqa: F401  registers the recognizer


def sample(label: int) -> ActionDataSample:
    return ActionDataSample().set_gt_label(label)


@pytest.mark.parametrize('labels', [[2], [2, 0]])
def test_label_smoothing_by_hand(labels):
    """`label_smooth_eps` 0.1: 0.1 / 4 for every class, and 0.9 more for the right one."""
    head = I3DHead(num_classes=4, in_channels=3, label_smooth_eps=0.1, topk=(1,))
    scores = torch.randn(len(labels), 4)
    found = head.loss_by_feat(scores, [sample(label) for label in labels])['loss_cls'].item()
    losses = []
    for row, label in zip(scores.tolist(), labels):
        log_sum = math.log(sum(map(math.exp, row)))
        targets = [0.025 + 0.9 * (index == label) for index in range(4)]
        losses.append(sum(t * (log_sum - score) for t, score in zip(targets, row)))
    assert found == pytest.approx(sum(losses) / len(losses), abs=1e-5)
    plain = I3DHead(num_classes=4, in_channels=3, topk=(1,))
    plain = plain.loss_by_feat(scores, [sample(label) for label in labels])['loss_cls'].item()
    assert abs(found - plain) > 1e-3


def test_learning_rate_and_decay_of_every_parameter():
    """lr 1e-3 for the head, a tenth for the backbone; vectors, log-CPB, logit scales: no decay."""
    register_all_modules()
    backbone = dict(
        type='VideoSwinTransformerV2',
        arch=dict(embed_dims=16, depths=(1, 1), num_heads=(1, 2)),
        window_size=(2, 2, 2),
        out_indices=(1,),
    )
    head = dict(type='I3DHead', num_classes=5, in_channels=32)
    model = MODELS.build(dict(type='ChunkedRecognizer3D', backbone=backbone, cls_head=head))
    wrapper = build_optim_wrapper(
        model,
        dict(
            type='OptimWrapper',
            constructor='SwinV2OptimWrapperConstructor',
            optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
            paramwise_cfg=dict(backbone_lr_mult=0.1),
        ),
    )
    groups = [(group, p) for group in wrapper.optimizer.param_groups for p in group['params']]
    found = {id(p): (group['lr'], group['weight_decay']) for group, p in groups}
    assert len(groups) == len(found) == len(list(model.parameters()))
    seen = set()
    for name, parameter in model.named_parameters():
        lr, decay = found[id(parameter)]
        assert lr == pytest.approx(1e-4 if name.startswith('backbone.') else 1e-3), name
        plain = ('norm', 'bias', 'cpb_mlp', 'logit_scale')
        undecayed = [word for word in plain if word in name]
        assert decay == (0.0 if undecayed else 0.05), name
        seen.update(undecayed or ['decayed'])
    assert seen == {'norm', 'bias', 'cpb_mlp', 'logit_scale', 'decayed'}
    assert found[id(model.cls_head.fc_cls.weight)] == (1e-3, 0.05)


def frames(step: SampleFrames | UniformSample, total: int) -> np.ndarray:
    """(clips, frames per clip): indices sampled from a video of `total` frames."""
    results = step(dict(total_frames=total, start_index=0))
    return results['frame_inds'].reshape(results['num_clips'], results['clip_len'])


def test_a_training_clip_starts_anywhere():
    """32 frames, every second one, span 64 of 100; starts 0 to 36 are equally likely."""
    np.random.seed(0)
    step = SampleFrames(clip_len=32, frame_interval=2, num_clips=1)
    clips = [frames(step, 100)[0] for _ in range(1500)]
    assert all((np.diff(clip) == 2).all() for clip in clips)
    starts = [int(clip[0]) for clip in clips]
    assert set(starts) == set(range(37))
    assert abs(np.mean(starts) - 18) < 5 * 10.7 / 1500**0.5


def test_four_test_clips_are_spread_evenly():
    """The first starts at 0 and the last ends at the last frame, 63 frames span a clip."""
    step = SampleFrames(clip_len=32, frame_interval=2, num_clips=4, test_mode=True)
    clips = frames(step, 363)
    assert clips[:, 0].tolist() == [0, 100, 200, 300]
    assert (np.diff(clips) == 2).all() and clips[-1, -1] == 362
    assert frames(step, 300)[:, 0].tolist() == [0, 79, 158, 237]
    centerd = SampleFrames(clip_len=32, frame_interval=2, num_clips=1, test_mode=True)
    assert frames(centerd, 363)[0, 0] == 150


@pytest.mark.parametrize('test_mode', [False, True])
def test_a_short_video_is_repeated(test_mode):
    """Of 40 frames, frame 40 is frame 0 again: 0, 2, ... 38, 0, 2, ... 22."""
    step = SampleFrames(clip_len=32, frame_interval=2, num_clips=1, test_mode=test_mode)
    expected = [*range(0, 40, 2), *range(0, 24, 2)]
    assert frames(step, 40)[0].tolist() == expected
    assert frames(step, 1)[0].tolist() == [0] * 32


def test_uniform_sampling_draws_one_frame_of_each_of_32_parts():
    """Of 321 frames, part i is frames 10 i to 10 i + 10; in tests its middle, 10 i + 5."""
    np.random.seed(0)
    clips = np.array([frames(UniformSample(clip_len=32), 321)[0] for _ in range(800)])
    starts = 10 * np.arange(32)
    assert (clips.min(axis=0) == starts).all() and (clips.max(axis=0) == starts + 10).all()
    tested = frames(UniformSample(clip_len=32, test_mode=True), 321)[0]
    assert tested.tolist() == (starts + 5).tolist()


def test_uniform_sampling_of_a_short_video():
    """Of 17 frames, each half frame long part begins at i / 2, rounded to even; order is kept."""
    tested = frames(UniformSample(clip_len=32, test_mode=True), 17)[0]
    assert tested.tolist() == [round(i / 2) for i in range(32)]
    np.random.seed(0)
    for _ in range(50):
        trained = frames(UniformSample(clip_len=32), 17)[0]
        assert (np.diff(trained) >= 0).all() and trained.min() >= 0 and trained.max() <= 16
