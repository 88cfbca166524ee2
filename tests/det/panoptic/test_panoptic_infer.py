"""infer.py with a panoptic model: a picture, a map and a record that agree."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch
from coco_tree import SIZE, write_tree
from commands import ROOT, run_here
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from narrow_detr import narrow_detr
from panoptic_tree import write_panoptic

pytest.importorskip('mmdet')
import swinv2_dense.det  # noqa: E402, F401
from swinv2_dense.preparation.panoptic_ids import segment_ids  # noqa: E402

CONFIG = ROOT / 'configs/detr/mask2former_swinv2-t-w16_8xb2-50e_coco-panoptic.py'


def test_segments_are_drawn_listed_and_written(tmp_path):
    root = write_panoptic(write_tree(tmp_path / 'coco', ('person',)))
    cfg = Config.fromfile(CONFIG)
    narrow_detr(cfg.model)
    cfg.model.test_cfg.update(object_mask_thr=0.0, iou_thr=0.0, filter_low_score=False)
    cfg.test_dataloader.dataset.update(
        data_root=f'{root}/', ann_file='annotations/panoptic_val.json'
    )
    cfg.test_dataloader.dataset.pipeline[1].scale = SIZE[::-1]
    cfg.dump(tmp_path / 'narrow.py')
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
    model.panoptic_head.cls_embed.bias.data[-1] -= 9  # no query says "nothing"
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'model.pth')
    image = root / 'pictures/000000000000.jpg'
    result = run_here(
        'infer',
        tmp_path / 'narrow.py',
        tmp_path / 'model.pth',
        image,
        '--out-dir',
        tmp_path / 'out',
    )
    assert result.returncode == 0, result.stderr
    record = json.loads((tmp_path / 'out/predictions/000000000000.jpg.json').read_text())
    segments = record['segments']
    assert segments
    assert [s['pixels'] for s in segments] == sorted((s['pixels'] for s in segments), reverse=True)
    bgr = cv2.imread(str(tmp_path / 'out/label_maps/000000000000.jpg.png'))
    ids, areas = np.unique(segment_ids(bgr[..., ::-1]), return_counts=True)
    assert {s['id']: s['pixels'] for s in segments} == {
        int(i): int(area) for i, area in zip(ids, areas) if i
    }
    assert all(s['id'] == s['label'] + 1 + s['id'] // 1000 * 1000 for s in segments)
    assert list((tmp_path / 'out/pictures').iterdir())
