"""`load` predicts what the infer command writes, for every kind of input."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from commands import run_here
from PIL import Image
from quickstart_runs import write_run

import swinv2_dense
from swinv2_dense.errors import ConfigError


def records(folder, config, weights, *inputs) -> list[dict]:
    """The JSON files of the infer command."""
    flags = ('--out-dir', folder, '--score-thr', 0.01)
    result = run_here('infer', config, weights, *inputs, *flags)
    assert result.returncode == 0, result.stderr[-2000:]
    return [json.loads(p.read_text()) for p in sorted((folder / 'predictions').glob('*.json'))]


def test_detectors(tmp_path):
    config, weights = write_run(tmp_path, 'detection')
    images = sorted((tmp_path / 'data/val').glob('*.png'))[:2]
    predict = swinv2_dense.load(config, weights, score_thr=0.01)
    assert len(predict.classes) == 6
    for found, record in zip(predict(images), records(tmp_path / 'out', config, weights, *images)):
        assert len(found.boxes) > 0
        np.testing.assert_allclose(found.boxes, record['bboxes'], rtol=1e-6)
        np.testing.assert_allclose(found.scores, record['scores'], rtol=1e-6)
        assert found.names == record['names'] and found.masks.shape[1:] == (128, 128)
        for rle, result in zip(record['masks'], found.to_coco(7)):
            assert result['segmentation'] == rle
            assert result['image_id'] == 7
    bgr = cv2.imread(str(images[1]))
    same = [
        predict(bgr, channel_order='bgr'),
        predict(np.ascontiguousarray(bgr[..., ::-1])),
        predict(Image.open(images[1])),
        predict(str(images[1])),
    ]
    for other in same:
        np.testing.assert_array_equal(other.boxes, found.boxes)
    assert not np.array_equal(predict(bgr).scores, found.scores)  # channels exchanged
    assert found.draw().dtype == np.uint8
    for wrong in (bgr[..., :1], bgr.astype(float), 3):
        with pytest.raises(ConfigError, match='an image must be an array'):
            predict(wrong)
    with pytest.raises(ConfigError, match="channel_order='gbr'"):
        predict(bgr, 'gbr')


def test_segmentors(tmp_path):
    config, weights = write_run(tmp_path, 'segmentation')
    (image, *_) = sorted((tmp_path / 'data').rglob('*.png'))
    predict = swinv2_dense.load(config, weights)
    found = predict(image)
    records(tmp_path / 'out', config, weights, image)
    (path,) = (tmp_path / 'out/label_maps').glob('*.png')
    np.testing.assert_array_equal(found.label_map, np.asarray(Image.open(path)))
    assert found.names == predict.classes
    with pytest.raises(ConfigError, match='for detectors'):
        found.to_coco()


@pytest.mark.slow
def test_recognizers(tmp_path):
    config, weights = write_run(tmp_path, 'video')
    (video, *_) = sorted((tmp_path / 'data').rglob('*.mp4'))
    found = swinv2_dense.load(config, weights)(video)
    (record,) = records(tmp_path / 'out', config, weights, video)
    assert [entry['label'] for entry in record['top']] == found.labels
    scores = [entry['score'] for entry in record['top']]
    np.testing.assert_allclose(found.scores[found.labels], scores, rtol=1e-6)
    assert found.draw().ndim == 3
    with pytest.raises(ConfigError, match='takes the path of a video'):
        swinv2_dense.load(config, weights)(np.zeros((4, 4, 3), np.uint8))
