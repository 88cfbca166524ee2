"""Panoptic data: loading, checks before a run and by prepare_data, pictures and records."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from coco_tree import BOXES, SIZE, write_tree
from commands import ROOT, run_here
from mmengine.config import Config
from mmengine.registry import DefaultScope
from panoptic_tree import built, dataset_of, perfect_prediction, write_panoptic

pytest.importorskip('mmdet')
from mmdet.datasets import CocoPanopticDataset  # noqa: E402
from mmdet.structures import DetDataSample  # noqa: E402

from swinv2_dense.det.check_queries import check_queries  # noqa: E402
from swinv2_dense.det.panoptic.check import check_panoptic, check_panopticapi  # noqa: E402
from swinv2_dense.det.panoptic.metric import PanopticQualityMetric  # noqa: E402
from swinv2_dense.det.panoptic.segments import panoptic_objects  # noqa: E402
from swinv2_dense.errors import ConfigError  # noqa: E402
from swinv2_dense.preparation.panoptic import check_panoptic as check_files  # noqa: E402

MODEL = dict(panoptic_head=dict(num_queries=100))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_panoptic(write_tree(tmp_path / 'coco', ('person',)))


def edit(tree: Path, change) -> None:
    path = tree / 'annotations/panoptic_train.json'
    coco = json.loads(path.read_text())
    change(coco)
    path.write_text(json.dumps(coco))


def checked(tree: Path, model: dict = MODEL) -> str:
    with DefaultScope.overwrite_default_scope('mmdet'), pytest.raises(ConfigError) as error:
        check_panoptic(model, [('train_dataloader.dataset', dataset_of(tree))])
    assert '\n' not in str(error.value)
    return str(error.value)


def test_maps_are_loaded_as_masks_and_labels(tree):
    sample = built(tree)[0]
    assert sample['gt_bboxes_labels'].tolist() == [0, 7]
    masks = sample['gt_masks'].to_ndarray()
    for mask, (x, y, w, h) in zip(masks, BOXES):
        expected = np.zeros(SIZE, bool)
        expected[y : y + h, x : x + w] = True
        assert (mask == expected).all()
    seg = sample['gt_seg_map']
    assert (seg[:20, :30][masks.any(0)[:20, :30] == 0] == 255).all()
    assert seg[-1, -1] == 132  # the last class


def test_an_image_with_stuff_alone_is_loaded(tree):
    def remove_things(coco):
        for entry in coco['annotations']:
            entry['segments_info'] = entry['segments_info'][:1]

    edit(tree, remove_things)
    sample = built(tree)[0]
    assert sample['gt_masks'].to_ndarray().shape == (0, *SIZE)


def test_sound_data_pass(tree):
    with DefaultScope.overwrite_default_scope('mmdet'):
        check_panoptic(MODEL, [('train_dataloader.dataset', dataset_of(tree))])


def test_missing_and_mismatched_maps_are_named(tree):
    png = tree / 'panoptic/000000000001.png'
    content = png.read_bytes()
    png.unlink()
    assert '1 of 2 maps do not fit' in checked(tree)
    assert '000000000001.png is missing' in checked(tree)
    cv2.imwrite(str(png), np.zeros((8, 9, 3), np.uint8))
    assert '000000000001.png: 9 x 8 pixels, and its image has 128 x 96' in checked(tree)
    png.write_bytes(content)
    edit(tree, lambda coco: coco['annotations'][0]['segments_info'].pop())
    assert 'has ids that segments_info lacks: 2' in checked(tree)


def test_ids_without_pixels_and_unknown_categories_are_named(tree):
    extra = dict(id=77, category_id=1, iscrowd=0, area=1, bbox=[0, 0, 1, 1])
    edit(tree, lambda coco: coco['annotations'][0]['segments_info'].append(extra))
    assert 'lacks ids of segments_info: 77' in checked(tree)
    edit(tree, lambda coco: coco['annotations'][0]['segments_info'][-1].update(category_id=999))
    assert 'segment 77 of 000000000000.png has category_id=999, which is not listed' in checked(
        tree
    )
    edit(tree, lambda coco: coco['annotations'][0].pop('segments_info'))
    assert 'give a panoptic_*.json' in checked(tree)


@pytest.mark.parametrize(
    'change, said',
    [
        (lambda coco: coco['annotations'].pop(), '1 of 2 images have no annotation, first 00'),
        (lambda coco: coco['images'][0].update(file_name='a.jpeg'), 'but mmdet reads a.jpeg'),
        (lambda coco: coco['annotations'][0]['segments_info'][0].pop('area'), '.png has no area'),
        (lambda coco: coco['categories'][1].pop('isthing'), 'category bicycle has no isthing'),
    ],
)
def test_what_mmdet_would_stumble_over_in_training_is_named_before(tree, change, said):
    edit(tree, change)
    assert said in checked(tree)


def test_parts_of_mmdet_that_need_another_package_are_named(tree, monkeypatch):
    monkeypatch.setitem(sys.modules, 'panopticapi', None)  # as if it were not installed
    dataset = dataset_of(tree)
    steps = [('train_dataloader.dataset', dataset)]
    check_panopticapi(steps, [('val_evaluator', [dict(type='PanopticQualityMetric')])])
    with pytest.raises(ConfigError, match='val_evaluator: CocoPanopticMetric needs panopticapi'):
        check_panopticapi(steps, [('val_evaluator', dict(type='CocoPanopticMetric'))])
    dataset['pipeline'][1]['type'] = 'LoadPanopticAnnotations'
    with pytest.raises(ConfigError, match='use LoadPanopticMaps, which does without'):
        check_panopticapi(steps, [])


def test_fewer_queries_than_segments_or_objects_are_an_error(tree):
    said = checked(tree, dict(panoptic_head=dict(num_queries=2)))
    assert 'model.panoptic_head.num_queries=2, but 000000000000.png has 3 segments' in said
    with pytest.raises(ConfigError, match='model.num_queries=5, but an image of a.json has 6'):
        check_queries(dict(num_queries=5), [('a.json', 6)])
    check_queries(dict(num_queries=5), [('a.json', 5)])
    check_queries(dict(roi_head={}), [('a.json', 50)])


def test_prepare_data_compares_every_map(tree):
    for split in ('train', 'val'):
        source = tree / f'annotations/panoptic_{split}.json'
        source.rename(tree / f'annotations/panoptic_{split}2017.json')
    listed, maps = check_files(tree, 'train2017', 1)
    assert (listed.found, maps.found, maps.expected) == (2, 2, 2)
    assert not listed.faults and not maps.faults
    bgr = cv2.imread(str(tree / 'panoptic/000000000000.png'))
    bgr[0, 0] = 5
    cv2.imwrite(str(tree / 'panoptic/000000000000.png'), bgr)
    _, maps = check_files(tree, 'train2017', 1)
    assert 'has ids that segments_info lacks' in maps.faults


def test_the_metric_gives_100_for_the_truth(tree):
    metric = PanopticQualityMetric(
        str(tree / 'annotations/panoptic_val.json'), str(tree / 'annotations/panoptic_val2017')
    )
    metric.dataset_meta = CocoPanopticDataset.METAINFO
    samples = [dict(img_id=i, pred_panoptic_seg=perfect_prediction().to_dict()) for i in (0, 1)]
    metric.process(None, samples)
    found = metric.evaluate(2)
    assert {key: found[f'coco_panoptic/{key}'] for key in ('PQ', 'PQ_th', 'PQ_st')} == {
        'PQ': 100,
        'PQ_th': 100,
        'PQ_st': 100,
    }


def test_segments_are_drawn(tree):
    from swinv2_dense.det.visualization import ClassColorDetVisualizer

    objects = panoptic_objects(perfect_prediction(), 133)
    assert objects.labels.tolist() == [132, 0, 7]
    visualizer = ClassColorDetVisualizer()
    visualizer.dataset_meta = CocoPanopticDataset.METAINFO
    sample = DetDataSample(pred_panoptic_seg=perfect_prediction())
    image = np.full((*SIZE, 3), 128, np.uint8)
    frame = visualizer.frame(image, sample, 0.5)
    factor = frame.shape[0] // SIZE[0]
    x, y, w, h = BOXES[1]
    inside = frame[(y + h // 2) * factor, (x + w // 2) * factor]
    outside = frame[18 * factor, 2 * factor]
    assert (outside == 128).all()  # no segment, and below the names
    assert not (inside == 128).all()
    sheet = visualizer.picture(image, sample)  # the panel of predictions, with the same colors
    assert (sheet == inside).all(-1).sum() >= w * h // 2
    assert visualizer.picture(image, DetDataSample()) is None


def test_configs_name_what_is_wrong_before_anything_is_built(tree):
    """Through the command's own check of configs."""
    from swinv2_dense.det.task import TASK

    (tree / 'panoptic/000000000000.png').unlink()
    cfg = Config(
        dict(
            default_scope='mmdet',
            model=dict(type='Mask2Former', panoptic_head=dict(num_queries=100)),
            train_dataloader=dict(dataset=dataset_of(tree)),
        )
    )
    scope = DefaultScope.overwrite_default_scope('mmdet')
    with scope, pytest.raises(ConfigError, match='000000000000.png is missing'):
        TASK.check_config(cfg, ('train',))


@pytest.mark.parametrize('split', ['train', 'val'])
def test_browse_dataset_draws_maps_at_the_size_of_the_image(tree, tmp_path, split):
    cfg = Config.fromfile(ROOT / 'configs/detr/mask2former_swinv2-t-w16_8xb2-50e_coco-panoptic.py')
    for part in ('train', 'val', 'test'):
        dataset = cfg[f'{part}_dataloader'].dataset
        name = 'train' if part == 'train' else 'val'
        dataset.update(data_root=f'{tree}/', ann_file=f'annotations/panoptic_{name}.json')
        for step in dataset.pipeline:
            step.update({key: (160, 160) for key in ('scale', 'crop_size') if key in step})
    cfg.dump(tmp_path / 'small.py')
    options = '--split', split, '--number', 1, '--output-dir', tmp_path / 'pictures'
    result = run_here('browse_dataset', tmp_path / 'small.py', *options)
    assert result.returncode == 0, result.stderr
    (picture,) = (tmp_path / 'pictures').rglob('*.png')
    assert cv2.imread(str(picture)).shape[1] > 2 * 100  # two panels
