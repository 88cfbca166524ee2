"""The commands and `load` with a panoptic model: pictures, maps, records and pages that agree."""

from __future__ import annotations

import json
import re
from pathlib import Path

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
import swinv2_dense  # noqa: E402
import swinv2_dense.det  # noqa: E402, F401
from swinv2_dense.preparation.panoptic_ids import as_rgb, segment_ids  # noqa: E402

CONFIG = ROOT / 'configs/detr/mask2former_swinv2-t-w16_8xb2-50e_coco-panoptic.py'


def merge_second_object(root: Path) -> None:
    """Make it stuff, so that a model that says stuff everywhere is right about most pixels."""
    for path in (root / 'panoptic').iterdir():
        bgr = cv2.imread(str(path))
        bgr[(segment_ids(bgr[..., ::-1]) == 2)] = as_rgb(np.array([300]))[0, ::-1]
        cv2.imwrite(str(path), bgr)
    path = root / 'annotations/panoptic_val.json'
    coco = json.loads(path.read_text())
    for entry in coco['annotations']:
        entry['segments_info'] = [s for s in entry['segments_info'] if s['id'] != 2]
    path.write_text(json.dumps(coco))


@pytest.fixture(scope='module')
def run(tmp_path_factory) -> Path:
    """A folder with narrow.py, model.pth and the tree coco."""
    folder = tmp_path_factory.mktemp('run')
    root = write_panoptic(write_tree(folder / 'coco', ('person',)))
    merge_second_object(root)
    cfg = Config.fromfile(CONFIG)
    narrow_detr(cfg.model)
    cfg.model.test_cfg.update(object_mask_thr=0.0, iou_thr=0.0, filter_low_score=False)
    cfg.test_dataloader.num_workers, cfg.test_dataloader.persistent_workers = 0, False
    cfg.test_dataloader.dataset.update(
        data_root=f'{root}/', ann_file='annotations/panoptic_val.json'
    )
    cfg.test_dataloader.dataset.pipeline[1].scale = SIZE[::-1]
    cfg.test_evaluator = dict(
        type='PanopticQualityMetric',
        ann_file=str(root / 'annotations/panoptic_val.json'),
        seg_prefix=str(root / 'annotations/panoptic_val2017'),
    )
    cfg.dump(folder / 'narrow.py')
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
    model.panoptic_head.cls_embed.bias.data[-1] -= 9  # no query says "nothing"
    model.panoptic_head.cls_embed.bias.data[132] += 9  # all say the stuff around the objects
    torch.save(dict(state_dict=model.state_dict(), meta={}), folder / 'model.pth')
    return folder


def test_segments_are_drawn_listed_written_and_returned(run, tmp_path):
    image = run / 'coco/pictures/000000000000.jpg'
    result = run_here(
        'infer', run / 'narrow.py', run / 'model.pth', image, '--out-dir', tmp_path / 'out'
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
    found = swinv2_dense.load(run / 'narrow.py', run / 'model.pth')(image)
    assert found.segments == segments
    np.testing.assert_array_equal(found.segment_map, segment_ids(bgr[..., ::-1]))
    assert len(found.boxes) == len(found.masks) == len(record['bboxes'])


def page_of(folder: Path) -> dict:
    """The blocks of a page by title."""
    text = (folder / 'index.html').read_text()
    data = json.loads(re.search('id="data">(.*?)</script>', text)[1])
    return {block['title']: block for block in data['blocks']}


def test_the_page_shows_the_metrics_of_the_test(run, tmp_path):
    result = run_here(
        'test', run / 'narrow.py', run / 'model.pth', '--work-dir', tmp_path / 'work',
        '--report', tmp_path / 'page', '--dump', tmp_path / 'saved.pkl',
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-2000:]
    metrics = json.loads(next((tmp_path / 'work').glob('*/*.json')).read_text())
    page = page_of(tmp_path / 'page')
    shown = {item['name']: item['value'] for item in page['Panoptic quality']['items']}
    assert metrics['coco_panoptic/PQ_st'] > 0
    for name, key in (('PQ', 'PQ'), ('SQ of stuff', 'SQ_st'), ('RQ of things', 'RQ_th')):
        assert 100 * shown[name] == pytest.approx(metrics[f'coco_panoptic/{key}'], abs=1e-3)
    assert len(page['Images']['items']) == 2
    result = run_here('report', run / 'narrow.py', tmp_path / 'saved.pkl', '--out', tmp_path / 'b')
    assert result.returncode == 0, result.stderr[-2000:]
    assert page_of(tmp_path / 'b') == page
