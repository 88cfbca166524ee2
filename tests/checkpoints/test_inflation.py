"""Image weights in a video backbone, and video weights in another video backbone."""

from __future__ import annotations

import pytest
import torch
from checkpoint_layouts import official_layout, saved
from layouts import LAYOUTS
from tiny_models import TINY, tiny
from torch.testing import assert_close

from swinv2_dense import VideoSwinTransformerV2
from swinv2_dense.checkpoints.loading import load_pretrained
from swinv2_dense.errors import CheckpointError


def still(image: torch.Tensor, frames: int) -> torch.Tensor:
    return image.unsqueeze(2).repeat(1, 1, frames, 1, 1)


@pytest.mark.parametrize('layout', ['official', 'timm'])
@pytest.mark.parametrize('frames, patch, window', [(8, 2, 4), (6, 1, 3), (4, 4, 8), (16, 2, 2)])
def test_a_still_clip_gives_what_its_image_gives(tmp_path, layout, frames, patch, window):
    """With windows shifted and cut in space and time, and whole windows of frames."""
    source = tiny(pretrained_window_sizes=[6, 6, 6, 3]).eval().double()
    with torch.no_grad():
        for i in range(3):  # no format but ours has output norms of the first stages
            getattr(source, f'norm{i}').weight.fill_(1)
            getattr(source, f'norm{i}').bias.fill_(0)
    path = saved(tmp_path, LAYOUTS[layout](dict(source.state_dict())))
    model = VideoSwinTransformerV2(
        TINY,
        patch_size=(patch, 4, 4),
        window_size=(window, 4, 4),
        pretrained_window_sizes=[(window, 6, 6)] * 3 + [(window, 3, 3)],
        out_indices=(0, 1, 2, 3),
        init_cfg=dict(type='Pretrained', checkpoint=path),
    ).double()
    model.init_weights()
    image = torch.randn(2, 3, 37, 53).double()
    with torch.no_grad():
        clips, images = model.eval()(still(image, frames)), source(image)
    for clip, expected in zip(clips, images):
        assert clip.shape[2] == frames // patch
        assert_close(clip, still(expected, frames // patch), atol=1e-10, rtol=1e-10)


def test_inflation_adopts_spatial_windows_and_keeps_the_temporal_window(tmp_path):
    path = saved(tmp_path, official_layout(tiny(), [12, 12, 12, 6], [12, 12, 12, 6]))
    model = VideoSwinTransformerV2(TINY, window_size=[(8, 4, 4), (4, 4, 4), (2, 4, 4), (1, 4, 4)])
    report = load_pretrained(model, path)
    expected = [(8, 12, 12), (4, 12, 12), (2, 12, 12), (1, 6, 6)]
    assert model.pretrained_window_sizes == report.pretrained_window_sizes == expected
    assert report.inflated and 'inflated from images to video' in str(report)
    for block in model.layers[0].blocks:
        assert torch.equal(block.attn.cpb_mlp[0].weight[:, 0], torch.zeros(512))
    given = dict(pretrained_window_sizes=[(8, 16, 16)] * 4)
    with pytest.raises(CheckpointError, match=r'\(8, 16, 16\).*contradicts.*\(8, 12, 12\)'):
        load_pretrained(VideoSwinTransformerV2(TINY, window_size=(8, 4, 4), **given), path)


def test_video_weights_go_into_video_models_of_another_clip_only(tmp_path):
    source = tiny(VideoSwinTransformerV2, window_size=(4, 4, 4))
    path = saved(tmp_path, {'state_dict': source.state_dict()})
    model = VideoSwinTransformerV2(TINY, window_size=(8, 6, 6))
    report = load_pretrained(model, path)
    assert model.pretrained_window_sizes == [(4, 4, 4)] * 4 and not report.inflated
    with pytest.raises(CheckpointError, match='holds video weights; SwinTransformerV2 takes image'):
        load_pretrained(tiny(), path)
