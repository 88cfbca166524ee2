"""The page about a panoptic test, for predictions whose mistakes are known."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from coco_tree import BOXES, SIZE, write_tree
from panoptic_tree import built, perfect_prediction, write_panoptic
from PIL import Image

pytest.importorskip('mmdet')
from swinv2_dense.det.task import TASK  # noqa: E402


@pytest.fixture(scope='module')
def reporter(tmp_path_factory):
    tree = write_panoptic(write_tree(tmp_path_factory.mktemp('data') / 'coco', ('person',)))
    return TASK.build_reporter(built(tree))


def records(reporter, *predictions) -> list[dict]:
    """Of one image per prediction."""
    found = []
    for index, prediction in enumerate(predictions):
        info = reporter.dataset.get_data_info(index)
        sample = dict(img_id=info['img_id'], img_path=info['img_path'])
        found.append(reporter.record(dict(sample, pred_panoptic_seg=prediction.to_dict())))
    return found


def test_counts_and_mistakes_by_hand(reporter):
    """In the second image the second object has the wrong class."""
    wrong = perfect_prediction()
    x, y, w, h = BOXES[1]
    wrong.sem_seg[0, y : y + h, x : x + w] = 2 + 2000
    numbers, classes, gallery = reporter.blocks(records(reporter, perfect_prediction(), wrong))
    values = {item['name']: item['value'] for item in numbers.items}
    # Things: person 2 of 2, label 7 one matched and one missed, label 2 one false.
    quality = (1 + 1 / (1 + 0.5) + 0) / 3
    assert values['PQ of things'] == pytest.approx(quality)
    assert values['PQ of stuff'] == values['SQ of stuff'] == 1
    assert values['PQ'] == pytest.approx((3 * quality + 1) / 4)
    rows = {row[0]: row[1:] for row in classes.rows if any(row[5:])}
    names = reporter.classes
    assert rows[names[0]] == ['thing', 1, 1, 1, 2, 0, 0]
    assert rows[names[7]] == ['thing', pytest.approx(2 / 3), 1, pytest.approx(2 / 3), 1, 0, 1]
    assert rows[names[2]] == ['thing', 0, 0, 0, 0, 1, 0]
    assert rows[names[132]] == ['stuff', 1, 1, 1, 2, 0, 0]
    assert len(rows) == 4
    worst, best = gallery.items
    assert sorted(worst.findings) == sorted([(names[7], 'missed'), (names[2], 'false')])
    assert worst.lines[0] == 'PQ 0.500'  # person and the stuff of 4 classes
    assert not best.findings and best.lines == ['PQ 1.000']


def test_pictures_show_segments_in_colors_of_their_classes(reporter):
    (record,) = records(reporter, perfect_prediction())
    assert record['truth'] == record['prediction']
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(record['truth']))))
    assert drawn.shape == (*SIZE, 4)
    assert drawn[5, 5, 3] == 0  # no segment
    for (x, y, w, h), label in zip(BOXES, (0, 7)):
        assert drawn[y + h // 2, x + w // 2].tolist() == [*reporter.palette[label], 255]
    assert drawn[-1, -1].tolist() == [*reporter.palette[132], 255]
    x, y, _, _ = BOXES[1]
    assert drawn[y + 5, x].tolist() == [255] * 4  # an outline


def test_a_label_that_does_not_occur_has_no_quality(reporter):
    numbers, classes, _ = reporter.blocks(records(reporter, perfect_prediction()))
    assert {tuple(row[2:5]) for row in classes.rows if not any(row[5:])} == {(None,) * 3}
