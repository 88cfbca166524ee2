"""Whole models of every task as files; the classifier is in test_exported_files.py."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import run_here
from mmengine.config import Config
from random_detectors import KINDS, config, detector
from small_exports import small_run

import swinv2_dense
from swinv2_dense.quickstart.motions import MotionsSpec

pytest.importorskip('onnxruntime', reason='needs the extra "export"')
pytest.importorskip('onnxscript', reason='needs the extra "export"')
pytestmark = pytest.mark.slow


def detector_run(folder: Path, kind: str) -> tuple[Path, Path]:
    """The quickstart's data, and a detector that finds many boxes on it."""
    path, _ = small_run(folder, 'detection')
    cfg = Config.fromfile(path)
    cfg.model = config(kind)
    cfg.model.test_cfg.rcnn.nms.type = 'nms' if kind == 'Mask R-CNN' else 'soft_nms'
    if kind == 'HTC without masks':
        cfg.val_evaluator.metric = cfg.test_evaluator.metric = 'bbox'
        cfg.pop('expected')
    cfg.dump(path)
    torch.save(dict(state_dict=detector(kind).state_dict(), meta={}), folder / 'random.pth')
    return path, folder / 'random.pth'


def exported(folder: Path, run: tuple[Path, Path], *flags: object) -> tuple[list[Path], str]:
    """The files, and what the command printed."""
    result = run_here('export', *run, '--out-dir', folder / 'out', *flags)
    assert result.returncode == 0, result.stderr
    return sorted((folder / 'out').iterdir()), result.stdout


def metrics(folder: Path, config: Path, weights: Path, prefix: str) -> list[str]:
    """What a test prints about the metrics with a prefix."""
    result = run_here('test', config, weights, '--work-dir', folder / 'work')
    assert result.returncode == 0, result.stderr
    found = re.findall(rf'{prefix}\S*: +-?[\d.]+', result.stdout)
    assert found
    return found


@pytest.mark.parametrize('kind', [*KINDS, 'HTC without masks'])
def test_detectors(tmp_path, kind):
    """COCO's numbers of the file are those of the model."""
    run = detector_run(tmp_path, kind)
    (file,), printed = exported(tmp_path, run, '--size', 128, 128)
    assert 'unmatched 0.0e+00' in printed
    assert metrics(tmp_path, run[0], file, 'coco/') == metrics(tmp_path, *run, 'coco/')
    image = sorted((tmp_path / 'data/val').glob('*.png'))[0]
    found = swinv2_dense.load(file, score_thr=0.05)(image)
    expected = swinv2_dense.load(*run, score_thr=0.05)(image)
    assert len(found.boxes) == len(expected.boxes) > 3
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-2)


def test_segmentors(tmp_path):
    run = small_run(tmp_path, 'segmentation')
    (file,), printed = exported(tmp_path, run, '--size', 128, 128)
    assert metrics(tmp_path, run[0], file, 'mIoU') == metrics(tmp_path, *run, 'mIoU')
    image = sorted((tmp_path / 'data').rglob('*.png'))[0]
    found, expected = swinv2_dense.load(file)(image), swinv2_dense.load(*run)(image)
    assert (found.label_map != expected.label_map).mean() < 1e-3


def test_segmentors_with_sliding_windows(tmp_path):
    """Each window goes through the file."""
    run = small_run(tmp_path, 'segmentation')
    cfg = Config.fromfile(run[0])
    cfg.model.test_cfg = dict(mode='slide', crop_size=(96, 96), stride=(64, 64))
    cfg.dump(run[0])
    (file,), _ = exported(tmp_path, run, '--size', 96, 96)
    assert metrics(tmp_path, run[0], file, 'mIoU') == metrics(tmp_path, *run, 'mIoU')


def test_recognizers(tmp_path):
    run = small_run(tmp_path, 'video')
    size = MotionsSpec.size  # of the clips; their pipeline resizes nothing
    (file,), _ = exported(tmp_path, run, '--size', size, size)
    assert metrics(tmp_path, run[0], file, 'acc/') == metrics(tmp_path, *run, 'acc/')


def test_several_sizes(tmp_path):
    """Each image goes to the file of its orientation; the files are one model."""
    run = detector_run(tmp_path, 'Mask R-CNN')
    files, _ = exported(tmp_path, run, '--size', 96, 128, 128, 96, '--dtype', 'fp16')
    assert [file.name for file in files] == ['mine-128x96-fp16.onnx', 'mine-96x128-fp16.onnx']
    predict = swinv2_dense.load(files[0], score_thr=0.05)
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    for turned in (image, np.ascontiguousarray(image.transpose(1, 0, 2))):
        height, width = turned.shape[:2]
        boxes = predict(turned).boxes
        assert len(boxes) and boxes[:, 2].max() <= width and boxes[:, 3].max() <= height
        assert boxes.max() > 90  # beyond the shorter side


@pytest.mark.parametrize(('dtype', 'ratio'), [('fp16', 0.65), ('bf16', 0.65), ('int8', 0.5)])
def test_narrow_weights(tmp_path, dtype, ratio):
    """Files shrink, but for tables of the position bias and norms; the loss is measured."""
    run = small_run(tmp_path, 'segmentation')
    (full,), _ = exported(tmp_path / 'full', run, '--size', 64, 64, '--part', 'backbone')
    flags = ('--size', 64, 64, '--part', 'backbone', '--dtype', dtype)
    (narrow,), printed = exported(tmp_path / 'narrow', run, *flags)
    assert narrow.stat().st_size < ratio * full.stat().st_size
    largest = max(map(float, re.findall(r'backbone_\d (\S+?)[, ]', printed)))
    assert 1e-6 < largest < 0.2


def test_weights_beside_the_file(tmp_path, monkeypatch):
    """Beyond 2 GB; here from the first byte."""
    monkeypatch.setattr('swinv2_dense.export.writing.INLINE', 0)
    run = small_run(tmp_path, 'segmentation')
    files, _ = exported(tmp_path, run, '--size', 64, 64, '--part', 'backbone', '--raw')
    names = [file.name for file in files]
    stem = 'mine-64x64-backbone-raw.onnx'
    assert names == [stem, f'{stem}.data']
    assert files[0].stat().st_size < files[1].stat().st_size


def test_whole_models_as_pt2(tmp_path):
    run = detector_run(tmp_path, 'HTC with semantic branch')
    (file,), printed = exported(tmp_path, run, '--size', 128, 128, '--format', 'pt2')
    assert 'unmatched 0.0e+00' in printed
    module = torch.export.load(file).module()
    image = torch.randint(0, 256, (1, 3, 128, 128), dtype=torch.uint8)
    boxes, scores, labels, masks = module(image, torch.tensor([[100, 128]]))
    assert boxes.shape == (len(scores), 4) and len(masks) == len(labels) == len(scores)
    assert scores.max() > 0 and boxes[:, 3].max() <= 100
