"""The video backbone: plain loops, the image backbone, mmaction2's windows, time as an axis."""

from __future__ import annotations

import itertools
import math
import random

import oracle
import pytest
import torch
from checkpoint_layouts import saved
from layouts import LAYOUTS
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from tiny_models import TINY, assert_equals_oracle, tiny
from torch import Tensor, nn
from torch.testing import assert_close

from swinv2_dense import SwinTransformerV2, VideoSwinTransformerV2
from swinv2_dense.models.position_bias import LogCPB
from swinv2_dense.models.window_attention import WindowAttention

ALL = (0, 1, 2, 3)


def video(**kwargs) -> VideoSwinTransformerV2:
    return tiny(VideoSwinTransformerV2, **(dict(out_indices=ALL, window_size=(2, 4, 4)) | kwargs))


# Clip (T, H, W) in frames and pixels. Depths (2, 2, 1, 2): shifted windows in three stages.
ORACLE = {
    'time clamped, space shifted': (dict(window_size=(8, 3, 2)), (5, 21, 26)),
    'time shifted, space clamped': (dict(window_size=(3, 8, 8)), (13, 9, 14)),
    'odd windows, frames as patches': (
        dict(patch_size=(1, 4, 4), window_size=(3, 5, 2), pretrained_window_sizes=(2, 3, 4)),
        (4, 23, 13),
    ),
    'a window per stage': (
        dict(window_size=[(2, 3, 4), (3, 2, 2), (4, 4, 4), (1, 2, 1)]),
        (7, 18, 25),
    ),
    'depth 1 in time': (
        dict(window_size=(1, 3, 3), pretrained_window_sizes=(1, 3, 3)),
        (5, 17, 15),
    ),
    'fewer frames than a patch': (dict(patch_size=(4, 2, 3), window_size=(2, 4, 3)), (3, 11, 17)),
}


@pytest.mark.parametrize('kwargs, clip', ORACLE.values(), ids=ORACLE)
def test_equals_oracle_with_gradients(kwargs, clip):
    model = video(**kwargs).double()
    assert_equals_oracle(model, TINY, clip, kwargs.get('patch_size', (2, 4, 4)))


# ---------------------------------------------------------------------- compared with images


def inflated(image: SwinTransformerV2, column: float = 0.0, **kwargs) -> VideoSwinTransformerV2:
    """The image backbone's weights, with one frame per patch and a temporal log-CPB column."""
    model = video(patch_size=(1, 4, 4), **kwargs).double()
    state = dict(image.state_dict())
    for key, value in state.items():
        if key == 'patch_embed.proj.weight':
            state[key] = value.unsqueeze(2)
        elif key.endswith('cpb_mlp.0.weight'):
            state[key] = torch.cat([column * torch.randn(512, 1).to(value), value], dim=1)
    model.load_state_dict(state)
    return model.eval()


@pytest.mark.parametrize(
    'frames, window, pretrained_window, column',
    [
        (3, 1, 1, 0.0),  # offset 0 / 0
        (3, 1, 1, 1.0),
        (3, 1, 8, 1.0),  # weights trained with windows of 8 frames
        (1, 8, 8, 1.0),  # the window clamped to one frame
        (1, 8, 1, 1.0),
    ],
)
def test_depth_one_windows_are_the_image_backbone_frame_by_frame(
    frames, window, pretrained_window, column
):
    image = tiny(window_size=4).double().eval()
    model = inflated(
        image, column, window_size=(window, 4, 4), pretrained_window_sizes=(pretrained_window, 4, 4)
    )
    clip = torch.randn(2, 3, frames, 37, 50).double()
    maps = [m.transpose(1, 2).flatten(0, 1) for m in model(clip)]
    expected = image(clip.transpose(1, 2).flatten(0, 1))
    for found, reference in zip(maps, expected):
        assert_close(found, reference, atol=1e-11, rtol=1e-11)
    grads, references = (
        torch.autograd.grad(sum(m.square().sum() for m in outs), net.parameters())
        for outs, net in ((maps, model), (expected, image))
    )
    for (name, _), grad, reference in zip(image.named_parameters(), grads, references):
        if name.endswith('cpb_mlp.0.weight'):
            assert not grad[:, 0].any()  # temporal offsets are 0
            grad = grad[:, 1:]
        assert_close(grad.view_as(reference), reference, atol=1e-9, rtol=1e-9)


def test_offsets_of_weights_of_depth_one_are_finite_in_a_deeper_window():
    """Pretrained window 1, by which (less one) offsets from -3 to 3 must not be divided."""
    cpb = LogCPB(1, (1, 4, 4), hidden_dims=2).double()
    with torch.no_grad():  # the two hidden channels sum up to log2(8 |dt| + 1) / 3
        cpb[0].weight.copy_(torch.tensor([[1.0, 0, 0], [-1.0, 0, 0]]))
        cpb[0].bias.zero_()
        cpb[2].weight.fill_(-1.0)
    table = cpb((4, 2, 2))
    for index, offset in enumerate(range(-3, 4)):
        expected = 16 / (1 + math.exp(math.log2(8 * abs(offset) + 1) / 3))
        assert_close(table[0, index], torch.full((3, 3), expected, dtype=torch.float64))


# -------------------------------------------------------------------------- mmaction2's windows


def seen_by_mmaction2(sizes: tuple, window: tuple, shifted: bool) -> Tensor:
    """(N, N): which tokens attend to which, from mmaction2's partition and mask."""
    from mmaction.models.backbones import swin

    shift = tuple(w // 2 if shifted else 0 for w in window)
    window, shift = swin.get_window_size(sizes, window, shift)
    padded = [math.ceil(s / w) * w for s, w in zip(sizes, window)]
    tokens = torch.full(padded, -1.0)  # padding
    tokens[tuple(map(slice, sizes))] = torch.arange(math.prod(sizes)).view(sizes).float()
    tokens = tokens.roll([-s for s in shift], (0, 1, 2))
    windows = swin.window_partition(tokens[None, ..., None], window)[..., 0].long()
    seen = torch.zeros(math.prod(sizes), math.prod(sizes), dtype=torch.bool)
    masks = torch.zeros(len(windows), windows.shape[1], windows.shape[1])
    if any(shift):
        masks = swin.compute_mask(*padded, window, shift, 'cpu')
    for members, mask in zip(windows, masks):
        real = members >= 0
        index = members[real]
        seen[index[:, None], index] = mask[real][:, real] == 0
    return seen


def seen_by_ours(sizes: tuple, window: tuple, shifted: bool, backend: str) -> Tensor:
    """(N, N): which tokens become NaN if one token is NaN, with a copy of the map for each."""
    attn = WindowAttention(4, 2, window, window, shifted=shifted, backend=backend)
    count = math.prod(sizes)
    x = torch.randn(1, *sizes, 4).repeat(count, 1, 1, 1, 1)
    x.flatten(1, 3)[range(count), range(count)] = math.nan
    with torch.no_grad():
        return attn(x).isnan().any(-1).flatten(1).T


def layouts() -> list[tuple[tuple, tuple]]:
    """Axes that are clamped, whole or padded, in all combinations, and random ones."""
    rng = random.Random(0)
    pairs = [(3, 8), (4, 4), (4, 2), (5, 3)]
    found = [tuple(zip(*axes)) for axes in itertools.product(pairs[:2], pairs[2:], pairs[1:])]
    for _ in range(16):
        sizes = tuple(rng.randint(1, 6) for _ in range(3))
        found.append((sizes, tuple(rng.randint(1, 5) for _ in range(3))))
    return found


@pytest.mark.parametrize('backend', ['tiled', 'plain'])
@pytest.mark.parametrize('shifted', [False, True])
def test_tokens_see_those_that_they_see_in_mmaction2(shifted, backend):
    pytest.importorskip('mmaction')
    for sizes, window in layouts():
        expected = seen_by_mmaction2(sizes, window, shifted)
        found = seen_by_ours(sizes, window, shifted, backend)
        assert torch.equal(found, expected), (sizes, window)


# ------------------------------------------------------------------------------ time as an axis


@pytest.mark.parametrize(
    'window, column, permutes',
    [(4, 0.0, True), (8, 0.0, True), (4, 0.3, False), (8, 0.3, False), (2, 0.0, False)],
)
def test_permuted_patches_of_frames_permute_the_maps(window, column, permutes):
    """If the window covers the clip and log-CPB has not learned time; space is shifted."""
    model = video(window_size=(window, 3, 3)).double().eval()
    for name, param in model.named_parameters():
        if name.endswith('cpb_mlp.0.weight'):
            param.data[:, 0] *= column / 0.02
    clip = torch.randn(1, 3, 8, 33, 50).double()
    order = torch.tensor([2, 0, 3, 1])
    permuted = clip.unflatten(2, (4, 2))[:, :, order].flatten(2, 3)
    with torch.no_grad():
        for out, moved in zip(model(clip), model(permuted)):
            assert torch.allclose(moved, out[:, :, order], atol=1e-10, rtol=0) == permutes
            assert not torch.allclose(moved, out, atol=1e-3)


def test_column_0_of_log_cpb_is_time():
    """Without queries, attention weights are those of the bias: equal within a frame.

    Bias of an offset dt in a window of 3 frames: 16 / (1 + exp(log2(4 |dt| + 1) / 3)).
    """
    attn = WindowAttention(2, 1, (3, 4, 2), (3, 4, 2)).double()
    with torch.no_grad():
        for param in attn.parameters():
            param.zero_()
        attn.cpb_mlp[0].weight[0, 0], attn.cpb_mlp[0].weight[1, 0] = 1, -1
        attn.cpb_mlp[2].weight[0, :2] = -1
        attn.qkv.weight[4:] = torch.eye(2)
        attn.proj.weight.copy_(torch.eye(2))
    x = torch.randn(1, 3, 4, 2, 2).double()
    weights = [math.exp(16 / (1 + math.exp(math.log2(4 * dt + 1) / 3))) for dt in range(3)]
    frames = x.mean((2, 3))[0]
    for t, out in enumerate(attn(x)[0]):
        share = torch.tensor([weights[abs(t - k)] for k in range(3)], dtype=torch.float64)
        expected = (share[:, None] * frames).sum(0) / share.sum()
        assert_close(out, expected.expand(4, 2, 2), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize('clip', [(1, 1, 1), (2, 5, 3), (9, 33, 70), (16, 64, 32)])
def test_any_clip_gives_ceil_maps_and_keeps_its_frames(clip):
    model = video().eval()
    x = torch.randn(2, 3, *clip)
    frames, *sides = (math.ceil(s / p) for s, p in zip(clip, (2, 4, 4)))
    with torch.no_grad():
        maps = model(x)
        model(torch.randn(1, 3, 5, 40, 24))
        again = model(x)
        last = video(out_indices=(2,)).eval()(x)
    assert isinstance(maps, tuple) and isinstance(last, Tensor)
    assert [m.shape for m in maps] == [
        (2, 8 * 2**i, frames, *(math.ceil(side / 2**i) for side in sides)) for i in ALL
    ]
    assert all(map(torch.equal, maps, again))
    assert last.shape == maps[2].shape


# ----------------------------------------------------------------------- weights of images, video

CONFIG = """
_base_ = 'mmaction::_base_/models/swin_tiny.py'
custom_imports = dict(imports=['swinv2_dense'], allow_failed_imports=False)
default_scope = 'mmaction'
model = dict(
    backbone=dict(
        _delete_=True,
        type='VideoSwinTransformerV2',
        arch={arch},
        window_size={window},
        init_cfg=dict(type='Pretrained', checkpoint={checkpoint!r}),
    ),
    cls_head=dict(in_channels=64),
)
"""


def recognizer(folder, checkpoint: str, window: tuple) -> nn.Module:
    """mmaction2's Recognizer3D from a config that loads weights into its backbone."""
    pytest.importorskip('mmaction')
    path = folder / 'config.py'
    path.write_text(CONFIG.format(arch=TINY, window=window, checkpoint=checkpoint))
    cfg = Config.fromfile(path)
    with DefaultScope.overwrite_default_scope('mmaction'):
        model = MODELS.build(cfg.model)
        model.init_weights()
    assert type(model).__name__ == 'Recognizer3D'
    return model.double().eval()


@pytest.mark.parametrize('layout', LAYOUTS)
def test_image_weights_of_any_format_in_a_recognizer(tmp_path, layout):
    """A still clip has the features of its image, with the same init_cfg as for images."""
    image = tiny(pretrained_window_sizes=[12, 12, 12, 6]).double().eval()
    path = tmp_path / 'swinv2_base_window12_192.pth'  # a release with known pretrained windows
    torch.save(LAYOUTS[layout](dict(image.state_dict())), path)
    model = recognizer(tmp_path, str(path), (8, 4, 4))
    assert model.backbone.pretrained_window_sizes == [(8, 12, 12)] * 3 + [(8, 6, 6)]
    x = torch.randn(1, 3, 70, 45).double()
    with torch.no_grad():
        *_, expected = image(x)
        clip = x[None, :, :, None].repeat(1, 1, 1, 6, 1, 1)  # batch, views, channels, frames
        found, _ = model.extract_feat(clip, stage='backbone')
    assert_close(found, expected.unsqueeze(2).repeat(1, 1, 3, 1, 1), atol=1e-10, rtol=1e-10)


def test_video_weights_of_a_training_in_a_recognizer_of_another_clip_and_window(tmp_path):
    """Offsets keep their meaning: they are divided by the pretrained windows, also along time."""
    source = tiny(VideoSwinTransformerV2, window_size=(4, 4, 4))
    path = saved(tmp_path, dict(state_dict=nn.ModuleDict(dict(backbone=source)).state_dict()))
    model = recognizer(tmp_path, path, [(6, 3, 5), (6, 3, 3), (5, 2, 2), (8, 8, 8)])
    assert model.backbone.pretrained_window_sizes == [(4, 4, 4)] * 4
    clip = torch.randn(1, 1, 3, 13, 26, 37).double()
    params = dict(model.backbone.named_parameters())
    for i in range(3):  # output norms that are not built for one index
        dims = 8 * 2**i
        params |= {f'norm{i}.weight': torch.ones(dims), f'norm{i}.bias': torch.zeros(dims)}
    layers = model.backbone.layers
    windows = [[block.attn.window_size for block in stage.blocks] for stage in layers]
    with torch.no_grad():
        *_, expected = oracle.backbone(
            clip[0, 0],
            params,
            TINY['depths'],
            TINY['num_heads'],
            (2, 4, 4),
            windows,
            [(4, 4, 4)] * 4,
        )
        found, _ = model.extract_feat(clip, stage='backbone')
    assert_close(found[0], expected, atol=1e-10, rtol=1e-10)
