"""InstaBoost on polygons and RLE, on real images, and in the pipeline of HTC++."""

from __future__ import annotations

import copy
import json
import random
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from forked import run_code
from mmengine.registry import DefaultScope
from pycocotools import mask as mask_api

pytest.importorskip('mmdet')
pytest.importorskip('instaboostfast')
from mmcv.transforms import Compose, LoadImageFromFile
from mmdet.datasets import CocoDataset
from mmdet.datasets.transforms import InstaBoost, LoadAnnotations

from swinv2_dense.det import RunLengthInstaBoost
from swinv2_dense.det.instaboost import uncompressed

MOVE = dict(action_candidate=('normal',), action_prob=(1,), color_prob=0, aug_ratio=1)
# Whole pixels, neither scaled nor turned: what comes out can be told by hand.
SHIFT = dict(MOVE, scale=(1, 1), theta=(0, 0), dx=3, dy=3)
STAY = dict(MOVE, action_candidate=('skip',))
load_annotations = LoadAnnotations(with_bbox=True, with_mask=True)


def boost(transform: InstaBoost, results: dict, seed: int = 0) -> dict:
    np.random.seed(seed)
    random.seed(seed)
    return transform(copy.deepcopy(results))


def rle(mask: np.ndarray) -> dict:
    encoded = mask_api.encode(np.asfortranarray(mask, np.uint8))
    return dict(size=encoded['size'], counts=encoded['counts'].decode())


def sample(*masks: dict | list, boxes: list | None = None) -> dict:
    """What LoadImageFromFile makes of a (64, 80) picture of noise with these objects."""
    image = np.random.default_rng(0).integers(0, 256, (64, 80, 3)).astype(np.uint8)
    boxes = boxes or [mask_api.toBbox(to_rle(mask)) for mask in masks]
    boxes = [[x, y, x + w, y + h] for x, y, w, h in np.asarray(boxes, float).tolist()]
    instances = [
        dict(bbox=box, bbox_label=i, mask=mask, ignore_flag=0)
        for i, (box, mask) in enumerate(zip(boxes, masks))
    ]
    return dict(img=image, instances=instances, ori_shape=(64, 80), img_path='a.png')


def to_rle(mask: dict | list) -> dict:
    if isinstance(mask, list):
        return mask_api.merge(mask_api.frPyObjects(mask, 64, 80))
    return mask_api.frPyObjects(mask, 64, 80) if isinstance(mask['counts'], list) else mask


def ring() -> np.ndarray:
    y, x = np.mgrid[:64, :80]
    distance = np.hypot(x - 30, y - 32)
    return (distance < 15) & (distance > 6)


def square() -> np.ndarray:
    mask = np.zeros((64, 80), bool)
    mask[20:30, 55:68] = True
    return mask


@pytest.mark.parametrize('compressed', [True, False])
def test_rle_masks_move_with_their_holes_and_pixels(compressed):
    masks = [ring(), square()]
    given = [rle(mask) if compressed else uncompressed(rle(mask)) for mask in masks]
    before = sample(*given)
    moved = set()
    for seed in range(4):
        after = boost(RunLengthInstaBoost(**SHIFT), before, seed)
        loaded = load_annotations(copy.deepcopy(after))
        for old, box, label, new in zip(
            masks, loaded['gt_bboxes'].numpy(), loaded['gt_bboxes_labels'], loaded['gt_masks'].masks
        ):
            dx, dy = (box[:2] - before['instances'][label]['bbox'][:2]).astype(int)
            assert np.array_equal(new, np.roll(old, (dy, dx), (0, 1)))
            pixels = np.roll(before['img'], (dy, dx), (0, 1))
            assert np.array_equal(after['img'][new > 0], pixels[new > 0])
            moved.add((label, dx, dy))
    assert len({(dx, dy) for _, dx, dy in moved}) > 4


def test_masks_that_stay_are_the_same_to_the_pixel():
    rng = np.random.default_rng(1)
    masks = [ring(), square(), np.ones((64, 80), bool)]
    masks += [rng.random((64, 80)) < 0.001, np.roll(ring(), -22, 1)]  # specks; cut by the border
    for mask in masks:
        after = load_annotations(boost(RunLengthInstaBoost(**STAY), sample(rle(mask))))
        assert np.array_equal(after['gt_masks'].masks[0], mask)
        x, y, w, h = mask_api.toBbox(rle(mask))
        assert after['gt_bboxes'].numpy()[0].tolist() == [x, y, x + w, y + h]


def test_uncompressed_rle_starts_with_zeros():
    for mask in (np.eye(3, 4), 1 - np.eye(3, 4), np.zeros((3, 4)), np.ones((3, 4))):
        counts = uncompressed(rle(mask))['counts']
        values = np.repeat(np.arange(len(counts)) % 2, counts)
        assert np.array_equal(values, mask.ravel(order='F'))


def test_polygons_become_what_they_become_in_mmdet():
    corners = [[20, 20, 40, 22, 30, 44], [50, 30, 60, 30, 60, 41, 51, 40]]
    before = sample([corners[0]], [corners[1]])
    ours, theirs = (boost(kind(**MOVE), before) for kind in (RunLengthInstaBoost, InstaBoost))
    assert np.array_equal(ours['img'], theirs['img'])
    assert ours['instances'] == theirs['instances']


def test_nothing_happens_where_the_coin_says_no():
    before = sample(rle(ring()), [[50, 30, 60, 30, 60, 41]])
    after = boost(RunLengthInstaBoost(aug_ratio=0), before)
    assert np.array_equal(after['img'], before['img'])
    assert after['instances'] == before['instances']
    empty = dict(before, instances=[])
    assert boost(RunLengthInstaBoost(**MOVE), empty)['instances'] == []


DEGENERATE = {
    'one pixel': ([[10, 10, 11, 10, 11, 11, 10, 11]], [10, 10, 1, 1]),
    'a line': ([[10, 10, 20, 10, 15, 10]], [10, 10, 10, 1]),
    'an empty mask': (rle(np.zeros((64, 80))), [10, 10, 4, 4]),
    'past the border': ([[-8, 10, 9, 10, 9, 30, -8, 30]], [-8, 10, 17, 20]),
    'a box far from its mask': ([[10, 10, 20, 10, 15, 20]], [60, 50, 9, 9]),
}


@pytest.mark.parametrize('case', DEGENERATE)
def test_degenerate_objects_leave_the_others_alone(case):
    mask, box = DEGENERATE[case]
    corner = rle(np.roll(square(), (-10, 5), (0, 1)))
    before = sample(mask, corner, boxes=[box, mask_api.toBbox(corner)])
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        after = boost(RunLengthInstaBoost(**SHIFT), before)
    labels = [instance['bbox_label'] for instance in after['instances']]
    assert 1 in labels and len(labels) <= 2
    assert 0 in labels or 'border' not in case
    load_annotations(after)


def test_a_sample_that_instaboostfast_fails_on_stays_whole_and_is_told_once():
    transform = RunLengthInstaBoost(**MOVE)
    before = sample(rle(ring()), [[10, 10, 14, 16]], boxes=[[15, 17, 30, 30], [10, 10, 4, 6]])
    with pytest.warns(UserWarning, match=r'InstaBoost failed on a\.png; it is used unchanged'):
        after = boost(transform, before)
    assert np.array_equal(after['img'], before['img'])
    assert after['instances'] == before['instances']
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        boost(transform, before)


def test_an_object_without_a_mask_is_an_error():
    before = sample(rle(ring()))
    del before['instances'][0]['mask']
    with pytest.raises(ValueError, match=r'a\.png: RunLengthInstaBoost needs masks'):
        boost(RunLengthInstaBoost(**MOVE), before)


def test_the_backend_of_matplotlib_stays():
    code = """
import matplotlib
matplotlib.use('svg')
import sys
import swinv2_dense.det
assert 'instaboostfast' not in sys.modules
swinv2_dense.det.RunLengthInstaBoost()
print(matplotlib.get_backend().lower())
"""
    result = run_code(code)
    assert result.stdout.split()[-1:] == ['svg'], result.stderr  # the forks print at import


# -------------------------------------------------------------------------------- the real samples


@pytest.fixture(scope='module')
def images(samples: Path, request: pytest.FixtureRequest) -> list[dict]:
    """Records of coco_mini's 42 training images, 3 of them without objects, 23 with stuff maps.

    Without --slow every fourth, 6 of them with stuff maps.
    """
    root = samples / 'coco_mini'
    with DefaultScope.overwrite_default_scope('mmdet'):
        dataset = CocoDataset(
            data_root=str(root),
            ann_file='annotations/instances_train2017.json',
            data_prefix=dict(img='train2017', seg='stuffthingmaps/train2017'),
        )
    records = [dataset.get_data_info(i) for i in range(len(dataset))]
    for record in records:
        if not Path(record['seg_map_path']).is_file():
            record['seg_map_path'] = None
    return records if request.config.getoption('--slow') else records[::4]


@pytest.fixture(scope='module')
def boosted(images: list[dict]) -> list[tuple[dict, dict]]:
    """Each image before and after."""
    load = LoadImageFromFile()
    with DefaultScope.overwrite_default_scope('mmdet'), warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        transform = Compose([dict(type='RunLengthInstaBoost', **MOVE)])
        return [
            (record, boost(transform, record, seed))
            for seed, record in enumerate(load(copy.deepcopy(image)) for image in images)
        ]


def edited(boosted: list[tuple[dict, dict]]) -> list[int]:
    return [i for i, (b, a) in enumerate(boosted) if not np.array_equal(b['img'], a['img'])]


def parts(results: dict, ignored: int) -> list[dict]:
    return [i for i in results['instances'] if i['ignore_flag'] == ignored]


@pytest.mark.slow
def test_every_real_image_is_edited_and_keeps_its_crowds(boosted):
    total = Counter()
    for before, after in boosted:
        assert parts(before, 1) == parts(after, 1)
        labels = [Counter(i['bbox_label'] for i in parts(r, 0)) for r in (before, after)]
        assert labels[1] <= labels[0]
        boxes = [np.array(sorted(i['bbox'] for i in r['instances'])) for r in (before, after)]
        moved = boxes[0].shape != boxes[1].shape or np.abs(boxes[0] - boxes[1]).max(initial=0) > 2
        if moved:
            assert not np.array_equal(before['img'], after['img'])
        total.update(
            images=bool(before['instances']),
            moved=int(moved),
            crowds=len(parts(before, 1)),
            before=len(parts(before, 0)),
            after=len(parts(after, 0)),
        )
    assert len(boosted) == 42 and total['images'] == 39 and total['crowds'] > 0
    assert total['moved'] >= 37  # an object that fills its image can only grow
    assert total['after'] >= 0.98 * total['before']


@pytest.mark.slow
def test_real_boxes_are_the_bounds_of_their_masks(boosted):
    for _, after in boosted:
        loaded = load_annotations(copy.deepcopy(after))
        kept = ~loaded['gt_ignore_flags']
        for mask, box in zip(loaded['gt_masks'].masks[kept], loaded['gt_bboxes'].numpy()[kept]):
            x, y, w, h = mask_api.toBbox(mask_api.encode(np.asfortranarray(mask)))
            assert np.allclose(box, [x, y, x + w, y + h], atol=1)


def test_real_rle_gives_the_same_image_as_polygons(images, boosted):
    load, transform = LoadImageFromFile(), RunLengthInstaBoost(**MOVE)
    for seed in edited(boosted)[:2]:
        record = load(copy.deepcopy(images[seed]))
        size = record['ori_shape']
        for instance in record['instances']:
            if not instance['ignore_flag']:
                whole = mask_api.merge(mask_api.frPyObjects(instance['mask'], *size))
                instance['mask'] = dict(whole, counts=whole['counts'].decode())
        after = boost(transform, record, seed)
        assert np.array_equal(after['img'], boosted[seed][1]['img'])
        masks = [load_annotations(copy.deepcopy(r)) for r in (after, boosted[seed][1])]
        ours, theirs = (m['gt_masks'].masks.astype(bool) for m in masks)
        # A polygon through the centers of the border's pixels loses about half of them.
        overlap = (ours & theirs).sum((1, 2)) / (ours | theirs).sum((1, 2))
        assert overlap.min() > 0.6 and overlap.mean() > 0.9
        assert json.dumps(after['instances'])  # plain values, as in an annotation file


def test_equal_seeds_give_equal_pictures(images, boosted):
    index = edited(boosted)[0]
    record = LoadImageFromFile()(copy.deepcopy(images[index]))
    transform = RunLengthInstaBoost(**MOVE)
    again, other = boost(transform, record, index), boost(transform, record, index + 1)
    assert np.array_equal(again['img'], boosted[index][1]['img'])
    assert again['instances'] == boosted[index][1]['instances']
    assert not np.array_equal(other['img'], again['img'])


def test_every_real_image_passes_the_rest_of_the_pipeline_of_htc(images, boosted):
    with DefaultScope.overwrite_default_scope('mmdet'):
        pipeline = Compose(
            [
                dict(type='LoadAnnotations', with_bbox=True, with_mask=True, with_seg=True),
                dict(type='RandomResize', scale=(256, 256), ratio_range=(0.5, 2), keep_ratio=True),
                dict(
                    type='RandomCrop',
                    crop_type='absolute',
                    crop_size=(256, 256),
                    recompute_bbox=True,
                    allow_negative_crop=True,
                ),
                dict(type='FilterAnnotations', min_gt_bbox_wh=(1e-2, 1e-2), keep_empty=False),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackDetInputs'),
            ]
        )
    load_map = LoadAnnotations(with_bbox=False, with_label=False, with_seg=True)
    maps = 0
    for seed, (record, (_, after)) in enumerate(zip(images, boosted)):
        packed = boost(pipeline, after, seed)
        data = packed['data_samples']
        assert packed['inputs'].shape[1:] == data.img_shape
        assert data.gt_instances.masks.masks.shape[1:] == data.img_shape
        if record['seg_map_path'] is None:
            continue
        maps += 1
        labels = data.gt_sem_seg.sem_seg.numpy()
        original = load_map(copy.deepcopy(record))['gt_seg_map']
        assert labels.shape == (1, *data.img_shape)
        # Nearest neighbors and no filling: no label, of stuff or ignored, comes from nowhere.
        assert set(np.unique(labels)) <= set(np.unique(original))
        if (original == 255).mean() > 0.5:
            assert (labels == 255).any()
    assert maps == (23 if len(images) == 42 else 6)
