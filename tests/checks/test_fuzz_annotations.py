"""Fuzzed COCO files: if the check passes, mmdet loads everything unchanged."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import math
import random
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coco_splits import SIZE, annotation, write_split
from fuzzing import amounts, for_all
from hypothesis import strategies as st

pytest.importorskip('mmdet')
from mmdet.datasets import CocoDataset
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from pycocotools import mask as mask_api

import swinv2_dense.det  # noqa: F401
from swinv2_dense.checks.coco_check import check_annotation_file
from swinv2_dense.checks.coco_masks import check_mask, decode_rle
from swinv2_dense.checks.coco_report import Use
from swinv2_dense.cli.common import check_config
from swinv2_dense.errors import ConfigError
from swinv2_dense.own_data.coco_categories import read_classes
from swinv2_dense.preparation import coco
from swinv2_dense.preparation.report import format_report, is_sound
from swinv2_dense.resilience.unreadable_samples import GuardedDataset, UnreadableSampleError

WIDTH, HEIGHT = SIZE
NUMBERS = st.sampled_from(
    [-5, -1, 0, 1, 2, 3, 7, 90, 0.5, 1e9, -1e9, 1e300, math.nan, math.inf, -math.inf]
    + [2**31, 2**53 + 1, 2**63, 10**400]
)
POLYGONS = st.lists(st.lists(NUMBERS, max_size=9), max_size=3)
RUN_LENGTHS = st.fixed_dictionaries(
    dict(
        size=st.one_of(st.just([HEIGHT, WIDTH]), st.lists(NUMBERS, max_size=3)),
        counts=st.one_of(st.lists(NUMBERS, max_size=5), st.text(max_size=8)),
    )
)
TEXT = st.sampled_from(['', '..', 'a', '\0', '\ud800', '000000000002.jpg', 'x' * 300])
JUNK = st.one_of(
    st.sampled_from([None, True, {}, [], [[]], [None], {'id': 1}]),
    NUMBERS,
    TEXT,
    POLYGONS,
    RUN_LENGTHS,
    st.lists(NUMBERS, min_size=4, max_size=4),
)


@st.composite
def changes(draw: st.DrawFn) -> list[tuple]:
    """Up to three edits: where (a child index per level), how, and the new value."""
    edit = st.tuples(
        st.lists(st.integers(0, 99), min_size=1, max_size=6),
        st.sampled_from(['set', 'set', 'set', 'remove', 'repeat']),
        JUNK,
    )
    return draw(st.lists(edit, min_size=1, max_size=3))


def edited(content: Any, edits: list[tuple]) -> Any:
    content = copy.deepcopy(content)
    for path, how, value in edits:
        node = content
        for depth, choice in enumerate(path):
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                break
            key = keys[choice % len(keys)]
            if depth + 1 < len(path) and isinstance(node[key], (dict, list)):
                node = node[key]
                continue
            if how == 'set':
                value = copy.deepcopy(value)
                node[key] = value
            elif how == 'remove':
                del node[key]
            elif isinstance(node, list):
                node.append(node[key])
            break
    return content


@pytest.fixture(scope='module')
def tree(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('fuzz')
    for split in ('train2017', 'val2017'):
        write_split(root, split)
    return root


@pytest.fixture(autouse=True)
def within_mmdet(scope) -> Iterator[None]:
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


def load(
    root: Path, split: str = 'train', boost: bool = False, file: str | None = None
) -> CocoDataset:
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    ]
    if boost:
        pipeline.insert(1, dict(type='RunLengthInstaBoost', aug_ratio=1))
    return CocoDataset(
        ann_file=file or str(root / f'annotations/instances_{split}2017.json'),
        data_prefix=dict(img=str(root / f'{split}2017')),
        pipeline=pipeline,
        serialize_data=False,
        test_mode=True,
    )


def assert_loads_whole(root: Path, content: dict, warned: int) -> None:
    """Every annotation is loaded, except those with a warning."""
    with contextlib.redirect_stdout(io.StringIO()):  # of pycocotools
        data = load(root)
    samples = [data.prepare_data(i) for i in range(len(data))]
    kept = sum((~sample['gt_ignore_flags']).sum() for sample in samples)
    crowds = sum(bool(a.get('iscrowd')) or bool(a.get('ignore')) for a in content['annotations'])
    assert len(samples) == len(content['images'])
    assert kept >= len(content['annotations']) - warned - crowds
    for sample in samples:
        assert np.isfinite(sample['gt_bboxes'].tensor.numpy()).all()
        assert len(sample['gt_masks'].masks) == len(sample['gt_bboxes'])


# What the checks or mmdet once failed on.
KNOWN = [
    [([0, 0], 'set', None)],  # null in the place of an image
    [([1, 0], 'set', None)],
    [([1, 0, 3, 0], 'set', 10**400)],  # no float holds it
    [([0, 0, 0], 'set', 2**53 + 1), ([1, 0, 1], 'set', 2**53 + 1)],  # nor this, exactly
    [([2, 0, 0], 'set', [])],  # cannot be an element of a set
    [([0, 0, 1], 'set', '\0')],
    [([0, 0, 1], 'set', '\ud800')],
    [([1, 0, 5, 0, 0], 'set', math.nan)],  # ends the process in pycocotools
    [([1, 0, 5, 0, 0], 'set', 1e9)],
    [([1, 1, 5, 1, 0], 'set', 2**31)],
    [([1, 1, 5, 1], 'set', [3])],  # pixels of whatever lay in memory
    [([1, 1, 5, 1], 'set', 'oooo')],
]


@amounts(60, 6000)
def test_a_file_loads_completely_or_is_reported(tree, examples):
    path = tree / 'annotations/instances_train2017.json'
    sound = json.loads((tree / 'annotations/instances_val2017.json').read_text())

    def check(edits: list[tuple]) -> None:
        content = edited(sound, edits)
        path.write_text(json.dumps(content))
        parts = coco.check(tree, workers=1)
        format_report(parts).encode()
        if is_sound(parts):
            warned = sum(f.count for f in parts[0].warnings.values())
            assert_loads_whole(tree, content, warned)

    for_all(changes(), check, examples, KNOWN)
    path.write_text(json.dumps(sound))
    assert is_sound(coco.check(tree, workers=1))


@amounts(60, 6000)
def test_counts_equal_those_of_the_loaded_dataset(tree, examples):
    path = tree / 'annotations/instances_train2017.json'
    sound = json.loads((tree / 'annotations/instances_val2017.json').read_text())
    use = Use(
        classes=CocoDataset.METAINFO['classes'],
        is_evaluated=True,
        with_masks=True,
        folder=str(tree / 'train2017'),
        is_rotated=True,
    )

    def check(edits: list[tuple]) -> None:
        path.write_text(json.dumps(edited(sound, edits)))
        result = check_annotation_file(str(path), use)
        '; '.join(result.errors + result.notes + result.repairs).encode()
        if not result.errors:
            with contextlib.redirect_stdout(io.StringIO()):  # of pycocotools
                data = load(tree, file=result.copy)
            objects = [o for info in data.data_list for o in info['instances']]
            assert result.kept == len(objects)
            assert result.learned == sum(not o['ignore_flag'] for o in objects) > 0

    for_all(changes(), check, examples, KNOWN)
    path.write_text(json.dumps(sound))
    assert not check_annotation_file(str(path), use).errors


@amounts(60, 6000)
def test_a_mask_is_decodable_or_rejected(examples):
    def check(mask: Any) -> None:
        try:
            check_mask(mask)
        except ValueError as error:
            assert str(error).startswith(('polygon', 'RLE', 'segmentation'))
            return
        if isinstance(mask, list):
            mask = [polygon for polygon in mask if len(polygon) >= 6 and len(polygon) % 2 == 0]
            if mask:
                mask_api.frPyObjects(mask, HEIGHT, WIDTH)
            return
        counts = mask['counts']
        rle = mask_api.frPyObjects(mask, *mask['size']) if isinstance(counts, list) else mask
        counts = counts if isinstance(counts, list) else decode_rle(counts)
        assert mask_api.decode(rle).sum() == sum(counts[1::2])

    for_all(st.one_of(POLYGONS, RUN_LENGTHS, JUNK, masks().map(compressed)), check, examples)


def masks() -> st.SearchStrategy:
    return st.lists(st.booleans(), min_size=12, max_size=12).map(lambda m: np.reshape(m, (3, 4)))


def compressed(mask: np.ndarray) -> dict:
    rle = mask_api.encode(np.asfortranarray(mask, np.uint8))
    return dict(size=list(rle['size']), counts=rle['counts'].decode())


DROPPED = dict(area=0, bbox=[0, 0, 1, 1], iscrowd=0)  # mmdet leaves such objects out


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(segmentation=[[1e9, 0, 0, 1e9, 5, 5]]), 'polygon with a coordinate'),
        (dict(segmentation=dict(size=[HEIGHT, WIDTH], counts=[3]), iscrowd=1), 'sum up to its siz'),
        (dict(segmentation={}), 'neither polygons nor RLE'),
        (dict(segmentation=None), 'no segmentation'),
    ],
)
def test_masks_that_only_the_metric_decodes_are_checked(tmp_path, change, message):
    """The first crashes the process in COCOeval."""
    content = dict(
        images=[dict(id=1, file_name='a.jpg', height=HEIGHT, width=WIDTH)],
        categories=[dict(id=1, name='cup'), dict(id=2, name='other')],
        annotations=[dict(id=7, image_id=1, category_id=1) | DROPPED | change, annotation(8)],
    )
    content['annotations'][1].update(image_id=1, category_id=1)
    file = tmp_path / 'val.json'
    evaluator = dict(type='CocoMetric', ann_file=str(file), metric=['bbox', 'segm'])
    dataset = dict(
        type='CocoDataset', data_root=f'{tmp_path}/', ann_file='val.json',
        metainfo=dict(classes=('cup',)),
    )  # fmt: skip
    cfg = ConfigDict(
        default_scope='mmdet', val_evaluator=evaluator, val_dataloader=dict(dataset=dataset)
    )
    file.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=f'val_dataloader.*{message}.*annotation 7'):
        check_config(cfg, ('val',))
    content['annotations'][0]['category_id'] = 2  # which is not evaluated
    file.write_text(json.dumps(content))
    check_config(cfg, ('val',))
    content['annotations'][0].update(category_id=1)
    file.write_text(json.dumps(content))
    cfg.val_evaluator.metric = 'bbox'  # boxes need no masks
    check_config(cfg, ('val',))


@amounts(60, 4000)
def test_rle_is_decoded_as_pycocotools_encodes_it(examples):
    def check(mask: np.ndarray) -> None:
        counts = decode_rle(compressed(mask)['counts'])
        pixels = np.repeat(np.arange(len(counts)) % 2, counts)
        assert np.array_equal(pixels, mask.ravel(order='F'))
        check_mask(dict(size=list(mask.shape), counts=counts))

    for_all(masks(), check, examples)


@pytest.mark.parametrize('density', [0, 0.01, 0.5, 1])
def test_counts_of_large_masks(density):
    mask = np.kron(np.random.default_rng(0).random((9, 7)) < density, np.ones((31, 50)))
    mask[0, 0] = 1
    pixels = mask.ravel(order='F')
    changes = np.flatnonzero(np.diff(pixels)) + 1
    expected = [0, *np.diff([0, *changes, len(pixels)])]  # starts with zeros; the first pixel is 1
    assert decode_rle(compressed(mask)['counts']) == expected


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('boost', [False, True], ids=['', 'instaboost'])
@amounts(40, 3000)
def test_training_reports_a_faulty_mask(tree, boost, examples):
    """The guarded pipeline of mmdet returns a sample, or an error with the name of the file."""
    if boost:
        pytest.importorskip('instaboostfast')
    data = load(tree, 'val', boost)
    info = data.get_data_info(0)

    def check(mask: Any) -> None:
        random.seed(0)
        np.random.seed(0)
        instance = dict(info['instances'][0], mask=mask)
        data.data_list[0] = info | dict(instances=[instance])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                sample = GuardedDataset(data, 'train_dataloader')(0)
        except UnreadableSampleError as error:
            assert info['img_path'] in str(error)
        else:
            # A mask that mmdet would ignore may be moved out of the image.
            assert sample['gt_masks'].masks.shape[1:] == (HEIGHT, WIDTH)
            assert boost or len(sample['gt_masks']) == 1

    short = [[1.0, 2.0, 9.0, 9.0]]  # two points: a box to pycocotools
    sound = annotation(1)['segmentation']
    other = dict(size=[20, 20], counts=[100, 50, 250])
    known = [sound, short, other, [[math.nan] * 6], [[1e9, 0, 0, 1e9, 5, 5]], {}, None]
    for_all(st.one_of(POLYGONS, RUN_LENGTHS, JUNK), check, examples, known)


@amounts(80, 10000)
def test_classes_are_read_or_the_error_names_the_file(tmp_path, examples):
    path = tmp_path / 'some.json'
    content = dict(categories=[dict(id=1, name='a', more=[']', 2]), dict(id=2, name='b]')])

    def check(case: tuple[list[tuple], float]) -> None:
        edits, kept = case
        text = json.dumps(dict(images=[], **edited(content, edits)))
        path.write_text(text[: round(kept * len(text))])
        try:
            classes = read_classes(str(path))
        except ConfigError as error:
            assert str(path) in str(error)
        else:
            assert classes and all(isinstance(name, str) for name in classes)

    known = [([([0, 0, 1], 'set', 3)], 1.0), ([([0, 0, 1], 'set', {})], 1.0)]
    for_all(st.tuples(changes(), st.sampled_from([1, 1, 0.4, 0.7, 0.9])), check, examples, known)


@pytest.mark.parametrize(
    'text',
    [
        b'',
        b'null',
        b'[]',
        b'\xff\xfe{}',
        b'{"categories": [{"name": "a"},]' + b', "x": []' * 200_000,  # not once more per bracket
        b'{"categories": ' + b'[' * 200_000,
        b'{"categories": [{"name": "a',
    ],
    ids=['empty', 'null', 'list', 'no utf-8', 'comma', 'deep', 'cut'],
)
@pytest.mark.timeout(60)
def test_other_files_fail_fast(tree, tmp_path, text):
    path = tmp_path / 'some.json'
    path.write_bytes(text)
    with pytest.raises(ConfigError, match='some.json is not in COCO format'):
        read_classes(str(path))
    part = coco.ReportRow('some.json', 'annotations')
    assert coco.read_annotations(path, part, with_masks=True) is None
    assert part.faults
