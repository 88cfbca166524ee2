"""Exported files predict what the model predicts, through every command."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from commands import run_here
from small_exports import NAMES, classifier_run

import swinv2_dense
from swinv2_dense.errors import CheckpointError, ConfigError

onnx = pytest.importorskip('onnx', reason='needs the extra "export"')
ort = pytest.importorskip('onnxruntime', reason='needs the extra "export"')
pytest.importorskip('onnxscript', reason='needs the extra "export"')


@pytest.fixture(scope='module')
def run(tmp_path_factory) -> tuple[Path, Path, Path, str]:
    """Folder, config and weights of a classifier, and what its export printed."""
    folder = tmp_path_factory.mktemp('classifier')
    config, weights = classifier_run(folder)
    result = run_here('export', config, weights, '--out-dir', folder / 'out')
    assert result.returncode == 0, result.stderr
    return folder, config, weights, result.stdout


@pytest.fixture(scope='module')
def file(run) -> Path:
    (path,) = (run[0] / 'out').iterdir()
    return path


def test_command_proves_its_file(run, file):
    printed = run[3]
    assert file.name == 'mine-32x64.onnx'
    assert 'written by torch.onnx.export(dynamo=True) of torch' in printed
    assert 'largest difference to eager: logits' in printed and f'wrote {file}' in printed


def test_file_explains_itself(run, file):
    """For users without this package: names of inputs and outputs, classes, mean, size."""
    session = ort.InferenceSession(str(file), providers=['CPUExecutionProvider'])
    meta = {k: json.loads(v) for k, v in session.get_modelmeta().custom_metadata_map.items()}
    assert meta['classes'] == NAMES and meta['size'] == [32, 64]
    assert meta['mean'] == [123.675, 116.28, 103.53] and meta['channel_order'] == 'bgr'
    assert len(meta['config_digest']) == 64 and meta['checkpoint'] == 'random.pth'
    assert [i.name for i in session.get_inputs()] == ['image', 'image_size']
    images = np.random.default_rng(0).integers(0, 256, (3, 3, 32, 64), dtype=np.uint8)
    sizes = np.array([[32, 64]] * 3)
    logits, scores = session.run(None, dict(image=images, image_size=sizes))  # any batch
    assert logits.shape == scores.shape == (3, 6)
    np.testing.assert_allclose(scores.sum(1), 1, rtol=1e-5)
    (single, _) = session.run(None, dict(image=images[2:], image_size=sizes[2:]))
    np.testing.assert_allclose(single[0], logits[2], rtol=1e-4, atol=1e-5)


def test_commands_take_the_file_as_a_checkpoint(run, file, tmp_path):
    folder, config, weights, _ = run
    tables, records = {}, {}
    for name, given in (('file', [file]), ('model', [config, weights])):
        out = ('--out-dir', tmp_path / name, '--no-pictures')
        result = run_here('infer', *given, folder / 'data/val', *out)
        assert result.returncode == 0, result.stderr
        paths = sorted((tmp_path / name / 'predictions').rglob('*.json'))
        records[name] = [json.loads(path.read_text())['top'] for path in paths]
        result = run_here('test', config, given[-1], '--work-dir', tmp_path / 'work')
        assert result.returncode == 0, result.stderr
        tables[name] = re.findall(r'acc/\w+: [\d.]+', result.stdout)
    assert len(records['file']) == 12 and tables['file'] == tables['model'] != []
    for ours, theirs in zip(records['file'], records['model']):
        assert [e['name'] for e in ours] == [e['name'] for e in theirs]
        np.testing.assert_allclose(
            [e['score'] for e in ours], [e['score'] for e in theirs], rtol=1e-4
        )


def test_load(run, file):
    folder, config, weights, _ = run
    image = cv2.imread(str(folder / 'data/val/cow/0.jpg'))
    found = swinv2_dense.load(file)(image, channel_order='bgr')
    expected = swinv2_dense.load(config, weights)(image, channel_order='bgr')
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-4)
    assert found.names == expected.names and set(found.names) <= set(NAMES)


@pytest.mark.parametrize(
    ('flags', 'message'),
    [
        (['--tta'], '--tta needs a checkpoint'),
        (['--amp'], '--amp needs a checkpoint'),
        (['--device', 'cuda'], '--device needs a checkpoint'),
    ],
)
def test_options_that_need_a_checkpoint(run, file, flags, message):
    result = run_here('infer', file, run[0] / 'data/val', *flags)
    assert result.returncode == 2 and message in result.stderr


def test_images_of_another_size(run, file, tmp_path):
    flags = ('--work-dir', tmp_path, '--cfg-options')
    option = 'test_dataloader.dataset.pipeline.2.crop_size=72'
    result = run_here('test', run[1], file, *flags, option)
    assert result.returncode == 2
    assert 'takes 32 x 64 pixels, but an image has 72 x 72' in result.stderr


def test_other_classes_are_refused(run, file, tmp_path):
    other = 'test_dataloader.dataset.metainfo.classes=[ant,bee,cow,eel,dog,fox]'
    result = run_here('test', run[1], file, '--work-dir', tmp_path, '--cfg-options', other)
    assert result.returncode == 2 and "class 3 is 'dog' in the checkpoint" in result.stderr


@pytest.mark.parametrize(
    ('flags', 'message'),
    [
        (['--size', 64], '--size=64: give pairs'),
        (['--size', 64, 0], '--size=64 0: give pairs'),
        (['--format', 'pt2', '--dtype', 'int8'], '--dtype=int8 quantizes ONNX files only'),
        (['--part', 'neck'], 'ImageClassifier has no neck'),
        (['--image', 'missing.jpg'], "--image='missing.jpg'"),
    ],
)
def test_mistakes_leave_nothing(run, tmp_path, flags, message):
    out = tmp_path / 'out'
    result = run_here('export', run[1], run[2], '--out-dir', out, *flags)
    assert result.returncode == 2 and message in result.stderr.splitlines()[-1]
    assert not list(out.glob('*'))


def test_files_of_others(tmp_path):
    damaged = tmp_path / 'damaged.onnx'
    damaged.write_bytes(b'\0' * 100)
    with pytest.raises(CheckpointError, match='damaged.onnx cannot be read'):
        swinv2_dense.load(damaged)
    with pytest.raises((CheckpointError, ConfigError), match='no such file'):
        swinv2_dense.load(tmp_path / 'missing.onnx')


def test_maps_of_a_part_as_pt2(run, tmp_path):
    """`--raw` takes normalized images; `torch.export.load` runs the file."""
    flags = ('--format', 'pt2', '--part', 'backbone', '--raw', '--size', 30, 62)
    result = run_here('export', run[1], run[2], '--out-dir', tmp_path, *flags)
    assert result.returncode == 0, result.stderr
    assert 'torch.export of torch' in result.stdout
    path = tmp_path / 'mine-30x62-backbone-raw.pt2'
    module = torch.export.load(path).module()
    model = swinv2_dense.load(run[1], run[2]).inferencer.model
    x = torch.randn(3, 3, 30, 62)
    with torch.no_grad():
        torch.testing.assert_close(tuple(module(x)), model.backbone(x), rtol=1e-4, atol=1e-5)
    files = {'metadata.json': ''}
    torch.export.load(path, extra_files=files)
    assert json.loads(json.loads(files['metadata.json'])['outputs']) == ['backbone_0']
    result = run_here('infer', path, run[0] / 'data/val')
    assert result.returncode == 2 and 'do not read pt2 files' in result.stderr


def test_files_without_predictions(run, file, tmp_path):
    model = onnx.load(file)
    next(entry for entry in model.metadata_props if entry.key == 'raw').value = 'true'
    onnx.save(model, tmp_path / 'raw.onnx')
    result = run_here('infer', tmp_path / 'raw.onnx', run[0] / 'data/val')
    assert result.returncode == 2 and 'raw.onnx was exported with --raw' in result.stderr
    del model.metadata_props[:]
    onnx.save(model, tmp_path / 'other.onnx')
    result = run_here('infer', tmp_path / 'other.onnx', run[0] / 'data/val')
    assert result.returncode == 2 and 'was not written by the export command' in result.stderr
