"""Released checkpoints of Plain-DETR become detectors of this package."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest
import torch
from commands import ROOT, run_here
from layouts import depths_of, plain_detr, with_tables
from mmengine.config import Config
from tiny_plain_detr import build_plain_detr

pytest.importorskip('mmdet')
from mmengine.runner import load_checkpoint  # noqa: E402

OF_COCO = {'bbox_head.num_classes': 80}
BODY = 'backbone.0.net.body.layers.{s}.blocks.{b}.attn'


def released(folder: Path) -> tuple[torch.nn.Module, Path]:
    """A model, and a file as its authors would have saved it."""
    model = build_plain_detr(**OF_COCO)
    state = plain_detr(model.state_dict(), 2, 91)
    tables = with_tables({}, BODY, depths_of(model.backbone.state_dict()), [4] * 3, [8] * 3)
    path = folder / 'released.pth'
    options = argparse.Namespace(two_stage=True)
    torch.save(dict(model=state | tables, optimizer={}, epoch=12, args=options), path)
    return model, path


@pytest.mark.parametrize('suffix', ['pth', 'safetensors'])
def test_a_released_checkpoint_becomes_a_detector(tmp_path, suffix):
    model, path = released(tmp_path)
    target = tmp_path / f'converted.{suffix}'
    result = run_here('convert_checkpoint', path, target, '--detector')
    assert result.returncode == 0, result.stderr
    assert '[[8, 8], [8, 8], [8, 8], [4, 4]]' in result.stdout
    backbone = Config.fromfile(ROOT / 'configs/_base_/models/plain-detr.py').model.backbone
    for name in ('norm_eps', 'cosine_eps'):
        assert re.search(rf'{name} +{backbone[name]}\n', result.stdout)
    other = build_plain_detr(seed=1, **OF_COCO)
    if suffix == 'pth':
        found = load_checkpoint(other, str(target), map_location='cpu', strict=True)
        assert len(found['meta']['dataset_meta']['classes']) == 80
        assert other.backbone.pretrained_window_sizes == [(8, 8)] * 3 + [(4, 4)]
    else:
        from swinv2_dense.checkpoints.reading import read_checkpoint_file

        other.load_state_dict(read_checkpoint_file(target)['state_dict'], strict=True)
    for (name, value), expected in zip(other.state_dict().items(), model.state_dict().values()):
        assert value.equal(expected), name


def test_other_checkpoints_are_refused_in_one_line(tmp_path):
    torch.save(dict(model={'backbone.body.conv1.weight': torch.zeros(1)}), tmp_path / 'resnet.pth')
    target = tmp_path / 'converted.pth'
    result = run_here('convert_checkpoint', tmp_path / 'resnet.pth', target, '--detector')
    assert result.returncode == 2
    assert 'is not a Plain-DETR: it has no transformer.decoder.final_layer_norm' in result.stderr
    assert result.stderr.count('\n') == 1
    assert not target.exists()
    result = run_here('convert_checkpoint', tmp_path / 'resnet.pth', '--inspect', '--detector')
    assert '--detector takes no other options' in result.stderr
