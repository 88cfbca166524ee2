"""COCO test-dev submissions: from mmdet's results to a zip that pycocotools can load."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import tool
from pycocotools import mask as mask_api
from pycocotools.coco import COCO

from swinv2_dense.errors import ConfigError
from swinv2_dense.preparation import coco
from swinv2_dense.preparation.report import ReportRow
from swinv2_dense.preparation.submission import write_submission

SIZES = {11: (29, 37), 22: (53, 41), 33: (8, 9)}  # image id: height, width; the last has no object
NUM = 102  # detections on the first image, 2 on the second


def masks_of(image_id: int, num: int) -> torch.Tensor:
    random = np.random.default_rng(image_id)
    return torch.from_numpy(random.random((num, *SIZES[image_id])) < 0.3)


@pytest.fixture(scope='module')
def made(tmp_path_factory) -> Path:
    """image_info.json, and x.bbox.json and x.segm.json as mmdet writes them with format_only."""
    metrics = pytest.importorskip('mmdet.evaluation')
    from mmdet.datasets import CocoDataset

    folder = tmp_path_factory.mktemp('made')
    classes = CocoDataset.METAINFO['classes']
    info = dict(
        info={},
        images=[
            dict(id=i, file_name=f'{i:012}.jpg', height=h, width=w) for i, (h, w) in SIZES.items()
        ],
        categories=[dict(id=i, name=n) for i, n in zip(coco.CATEGORY_IDS, classes)],
    )
    (folder / 'image_info.json').write_text(json.dumps(info))
    metric = metrics.CocoMetric(
        metric=['bbox', 'segm'],
        format_only=True,
        outfile_prefix=str(folder / 'x'),
        ann_file=str(folder / 'image_info.json'),
    )
    metric.dataset_meta = CocoDataset.METAINFO
    for image_id, num in zip(SIZES, (NUM, 2, 0)):
        instances = dict(
            bboxes=torch.tensor([[1.0, 2.0, 6.5, 5.0]]).repeat(num, 1),
            scores=torch.linspace(0, 1, num),
            labels=torch.arange(num) % 80,
            masks=masks_of(image_id, num),
        )
        sample = dict(pred_instances=instances, img_id=image_id, ori_shape=SIZES[image_id])
        metric.process({}, [sample])
    metric.evaluate(len(SIZES))
    return folder


def submit(results: Path, info: Path, folder: Path) -> tuple[Path | None, list[ReportRow]]:
    return write_submission(results, info, 'swinv2-t', folder)


def loaded(written: Path, info: Path, folder: Path) -> COCO:
    """What the server sees: the only file in the zip, through pycocotools."""
    with zipfile.ZipFile(written) as archive:
        (name,) = archive.namelist()
        archive.extract(name, folder)
    assert name == 'detections_test-dev2017_swinv2-t_results.json'
    return COCO(str(info)).loadRes(str(folder / name))


def test_boxes_arrive_unchanged(made, tmp_path):
    info = made / 'image_info.json'
    written, parts = submit(made / 'x.bbox.json', info, tmp_path)
    assert written == tmp_path / 'detections_test-dev2017_swinv2-t_results.zip'
    results = loaded(written, info, tmp_path)
    assert len(results.anns) == NUM + 2
    last = results.anns[NUM + 2]
    assert last['bbox'] == [1.0, 2.0, 5.5, 3.0]
    assert (last['image_id'], last['category_id'], last['score']) == (22, 2, 1.0)
    assert {kind: found.examples for kind, found in parts[1].warnings.items()} == {
        'image without detections': ['000000000033.jpg'],
        'image with more than 100 detections; only the best count': ['000000000011.jpg: 102'],
    }


def test_masks_arrive_with_their_own_area(made, tmp_path):
    """mmdet writes a box next to each mask; pycocotools would use the area of that box."""
    info = made / 'image_info.json'
    written, _ = submit(made / 'x.segm.json', info, tmp_path)
    results = loaded(written, info, tmp_path)
    masks = masks_of(22, 2)
    for index in (0, 1):
        found = results.anns[NUM + 1 + index]
        assert (results.annToMask(found) == masks[index].numpy()).all()
        assert found['area'] == masks[index].sum()
    trap = COCO(str(info)).loadRes(str(made / 'x.segm.json'))
    assert trap.anns[NUM + 1]['area'] == 5.5 * 3.0


BOX = dict(image_id=22, category_id=90, bbox=[0, 0, 1, 1], score=0.5)
HEIGHT, WIDTH = SIZES[22]


def rle(height: int = HEIGHT, width: int = WIDTH, stated: list | None = None) -> dict:
    coded = mask_api.encode(np.ones((height, width), np.uint8, order='F'))
    return dict(size=stated or [height, width], counts=coded['counts'].decode())


MASK = dict(image_id=22, category_id=90, segmentation=rle(), score=0.5)
FAULTS = {
    'image_id that is not listed': [dict(image_id=44), dict(image_id='22'), dict(image_id=[22])],
    "category_id that is not one of COCO's 80": [dict(category_id=12), dict(category_id=0)],
    'score that is not a number from 0 to 1': [
        dict(score=1.5),
        dict(score=-0.1),
        dict(score=float('nan')),
        dict(score='1'),
    ],
    'bbox that is not four finite numbers [x, y, width, height]': [
        dict(bbox=[0, 0, 1]),
        dict(bbox=[0, 0, 1, float('inf')]),
        dict(bbox=None),
    ],
    'bbox of negative size': [dict(bbox=[5, 5, 2, -1])],
    'segmentation that is not compressed RLE': [
        dict(segmentation=[[1, 2, 3, 4, 5, 6]]),
        dict(segmentation=dict(size=[HEIGHT, WIDTH], counts=[0, HEIGHT * WIDTH])),
    ],
    'segmentation whose size is not that of the image': [dict(segmentation=rle(WIDTH, HEIGHT))],
    'RLE whose counts are not integers that sum up to its size': [
        dict(segmentation=rle(HEIGHT - 1, WIDTH, [HEIGHT, WIDTH])),
        dict(segmentation=rle(HEIGHT + 1, WIDTH, [HEIGHT, WIDTH])),
        dict(segmentation=dict(size=[HEIGHT, WIDTH], counts='')),
    ],
    'RLE whose counts cannot be decoded': [
        dict(segmentation=dict(size=[HEIGHT, WIDTH], counts='\ud800')),
    ],
}
CASES = [(kind, change) for kind, changes in FAULTS.items() for change in changes]


@pytest.mark.parametrize('kind, change', CASES)
def test_an_invalid_detection_is_reported_and_nothing_is_written(made, tmp_path, kind, change):
    good = MASK if 'segmentation' in change else BOX
    results = tmp_path / 'results.json'
    results.write_text(json.dumps([good, good | change]))
    written, parts = submit(results, made / 'image_info.json', tmp_path / 'out')
    assert written is None
    assert not (tmp_path / 'out').exists()
    ((found, finding),) = parts[1].faults.items()
    assert found == kind
    assert finding.count == 1
    assert finding.examples[0].startswith('record 1: ')


@pytest.mark.parametrize('key', ['image_id', 'category_id', 'score', 'bbox'])
def test_a_missing_key_is_reported(made, tmp_path, key):
    results = tmp_path / 'results.json'
    results.write_text(json.dumps([BOX, {k: v for k, v in BOX.items() if k != key}]))
    _, parts = submit(results, made / 'image_info.json', tmp_path)
    assert list(parts[1].faults) == [f'detection without {key}']


@pytest.mark.parametrize(
    'text, message',
    [
        ('{}', 'is not a list of detections'),
        ('[]', 'is not a list of detections'),
        ('[[1]]', 'is not a list of detections'),
        ('[', 'is not valid JSON'),
        (None, 'cannot be read: No such file or directory'),
    ],
)
def test_a_file_that_is_not_a_list_of_detections_is_an_error(made, tmp_path, text, message):
    results = tmp_path / 'results.json'
    if text is not None:
        results.write_text(text)
    with pytest.raises(ConfigError, match=message) as error:
        submit(results, made / 'image_info.json', tmp_path)
    assert str(results) in str(error.value)


def test_the_tool_writes_once_and_replaces_nothing(made, tmp_path):
    info = made / 'image_info.json'
    folder = tmp_path / 'new'
    arguments = (made / 'x.bbox.json', '--image-info', info, '--name', 'swinv2-t', '--out', folder)
    result = tool('coco_submission', *arguments)
    written = folder / 'detections_test-dev2017_swinv2-t_results.zip'
    assert result.returncode == 0
    assert f'Wrote {written}' in result.stdout
    assert [path.name for path in folder.iterdir()] == [written.name]
    before = written.read_bytes()
    with pytest.raises(ConfigError, match='exists; remove it or choose another name'):
        submit(made / 'x.segm.json', info, folder)
    assert written.read_bytes() == before


@pytest.mark.parametrize('name', ['', 'a b', '../x'])
def test_an_invalid_name_is_an_error(made, tmp_path, name):
    with pytest.raises(ConfigError, match='--name='):
        write_submission(made / 'x.bbox.json', made / 'image_info.json', name, tmp_path)


def test_a_wrong_list_of_images_is_an_error(made, tmp_path):
    with pytest.raises(ConfigError, match='--image-info=nowhere.json: there is no such file'):
        submit(made / 'x.bbox.json', Path('nowhere.json'), tmp_path)
    written, parts = submit(made / 'x.bbox.json', made / 'x.bbox.json', tmp_path)
    assert written is None
    assert 'not a JSON object with images and categories' in parts[0].faults
