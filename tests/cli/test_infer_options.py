"""infer without a config, in batches, with views and slices, and what each must not change."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from coco_tree import write_tree
from commands import run_here
from mmengine.config import Config
from narrow import narrow_model, shrink_images, use_data
from PIL import Image
from random_models import save_random

import swinv2_dense
from swinv2_dense.checkpoints.stored_config import parse_config, stored_config
from swinv2_dense.cli.infer import main as infer
from swinv2_dense.cli.infer import parse
from swinv2_dense.errors import CheckpointError, ConfigError

pytest.importorskip('mmdet')
CLASSES = ('apple', 'pear')


@pytest.fixture(scope='module')
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a config, a checkpoint that also stores it, and images of two sizes."""
    root = tmp_path_factory.mktemp('saved')
    cfg = Config.fromfile(
        swinv2_dense.config_path('detection/mask-rcnn_swinv2-t-w16_1xb4-bf16-1x_coco.py')
    )
    narrow_model(cfg.model)
    shrink_images(cfg, 12)
    cfg.model = swinv2_dense.own_data.set_num_classes(cfg.model, 2)
    for name in ('train', 'val', 'test'):
        cfg[f'{name}_dataloader'].dataset.metainfo = dict(classes=CLASSES)
    use_data(cfg, write_tree(root / 'coco', CLASSES, num_images=3))
    config, checkpoint = save_random(cfg, root, classes=CLASSES)
    content = torch.load(checkpoint, weights_only=False)
    content['meta']['cfg'] = cfg.pretty_text
    torch.save(content, checkpoint)
    images = root / 'images'
    images.mkdir()
    rng = np.random.default_rng(0)
    for i, size in enumerate([(96, 128), (96, 128), (128, 96), (96, 128)]):
        blocks = rng.integers(0, 256, (size[0] // 8, size[1] // 8, 3), dtype=np.uint8)
        Image.fromarray(blocks.repeat(8, 0).repeat(8, 1)).save(images / f'{i}.png')
    return root


def predict(saved: Path, out: Path, *flags: object, config: bool = True) -> dict[str, dict]:
    words = [*([saved / 'mine.py'] if config else []), saved / 'random.pth', saved / 'images']
    infer([*map(str, [*words, *flags, '--score-thr', 0, '--out-dir', out])])
    return {p.name: json.loads(p.read_text()) for p in sorted((out / 'predictions').glob('*'))}


@pytest.fixture(scope='module')
def plain(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    found = predict(saved, tmp_path_factory.mktemp('plain'))
    assert all(len(own['labels']) == 5 and own['masks'] for own in found.values())
    return found


def assert_close(found: dict, expected: dict) -> None:
    assert list(found) == list(expected)
    for own, other in zip(found.values(), expected.values()):
        assert own['labels'] == other['labels']
        np.testing.assert_allclose(own['scores'], other['scores'], rtol=1e-4)
        np.testing.assert_allclose(own['bboxes'], other['bboxes'], atol=1e-2)


# -------------------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    'words, expected',
    {
        'a.py b.pth c d': ('a.py', 'b.pth', ['c', 'd']),
        'b.pth c d': (None, 'b.pth', ['c', 'd']),
        'b.pth c': (None, 'b.pth', ['c']),
        'b.onnx c': (None, 'b.onnx', ['c']),
        'a.py --out-dir x b.pth c': ('a.py', 'b.pth', ['c']),
        'a.py b.pth --tta c': ('a.py', 'b.pth', ['c']),
        '--tta b.pth --out-dir x c d.py': (None, 'b.pth', ['c', 'd.py']),
    }.items(),
)
def test_a_first_argument_that_ends_in_py_is_the_config(words, expected):
    args = parse(words.split())
    assert (args.config, args.checkpoint, args.inputs) == expected


def test_a_config_and_a_checkpoint_without_inputs():
    with pytest.raises(ConfigError, match='a.py is a config and b.pth the checkpoint, but'):
        parse(['a.py', 'b.pth'])


# ---------------------------------------------------------------- the config of a checkpoint


def test_the_stored_config_predicts_the_same(saved, plain, tmp_path, monkeypatch, capsys):
    shutil.copy(saved / 'random.pth', tmp_path / 'alone.pth')
    monkeypatch.chdir(tmp_path)
    words = ['alone.pth', str(saved / 'images'), '--score-thr', '0', '--no-pictures']
    infer(words)
    assert 'config: stored in alone.pth' in capsys.readouterr().out
    found = (tmp_path / 'work_dirs/alone/infer/predictions').glob('*')
    assert {path.name: json.loads(path.read_text()) for path in sorted(found)} == plain
    assert not (tmp_path / 'work_dirs/alone/infer/pictures').exists()


def test_the_only_config_beside(saved, plain, tmp_path):
    content = torch.load(saved / 'random.pth', weights_only=False)
    del content['meta']['cfg']
    torch.save(content, tmp_path / 'bare.pth')
    image = str(saved / 'images/0.png')
    out = ['--out-dir', str(tmp_path / 'out'), '--no-pictures', '--score-thr', '0']
    with pytest.raises(ConfigError, match=r'bare.pth holds no config, and none lie next to it; '):
        infer([str(tmp_path / 'bare.pth'), image, *out])
    shutil.copy(saved / 'mine.py', tmp_path / 'a.py')
    infer([str(tmp_path / 'bare.pth'), image, *out])
    found = json.loads((tmp_path / 'out/predictions/0.png.json').read_text())
    assert found == plain['0.png.json']
    shutil.copy(saved / 'mine.py', tmp_path / 'b.py')
    with pytest.raises(ConfigError, match=r'2 lie next to it \(a.py, b.py\); give the config'):
        infer([str(tmp_path / 'bare.pth'), image, *out])


def test_a_stored_config_is_parsed_like_mmengine_reads_it(saved):
    cfg = Config.fromfile(saved / 'mine.py')
    content = torch.load(saved / 'random.pth', weights_only=False)
    assert stored_config(content, 'x') == cfg.to_dict()
    hub = dict(message_hub=dict(runtime_info=dict(cfg='a = dict(b=[1, -2.5, (None, inf)])')))
    assert stored_config(hub, 'x') == dict(a=dict(b=[1, -2.5, (None, float('inf'))]))
    assert stored_config(dict(state_dict={}), 'x') is None


@pytest.mark.parametrize(
    'text',
    [
        "a = 1\nb = __import__('os').system('touch hacked')",
        'import os',
        'a = dict([1])',
        'a = dict(**{"b": open("x")})',
        'a = [x for x in (1,)]',
        'print(1)',
        'a.b = 1',
        'a = (',
    ],
)
def test_code_in_a_stored_config_is_not_executed(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match='config stored in x.pth (is more than data|cannot)'):
        parse_config(text, 'x.pth')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('kind', ['os.system', 'mmengine.load', '__import__("os").system("true")'])
def test_types_of_a_stored_config_must_be_registered(saved, tmp_path, kind, monkeypatch):
    """mmengine imports any dotted name, and calls it with the other entries."""
    monkeypatch.chdir(tmp_path)
    content = torch.load(saved / 'random.pth', weights_only=False)
    text = content['meta']['cfg']
    at = re.search(r'^model *= *(dict\(|\{)', text, re.MULTILINE)  # formatted by yapf, or not
    part = f"dict(type={kind!r}, command='touch hacked'), "
    part = ('a=' if at[1] == 'dict(' else "'a': ") + part
    content['meta']['cfg'] = text[: at.end()] + part + text[at.end() :]
    torch.save(content, 'evil.pth')
    with pytest.raises(CheckpointError, match=re.escape(f'type={kind!r}, which is not reg')):
        infer(['evil.pth', str(saved / 'images'), '--out-dir', 'out'])
    assert [path.name for path in tmp_path.iterdir()] == ['evil.pth']


# ------------------------------------------------------------------------ batches and views


def test_a_batch_changes_nothing(saved, plain, tmp_path):
    """Images of different sizes are not padded for each other."""
    found = predict(saved, tmp_path, '--batch-size', 3, '--no-pictures')
    assert_close(found, plain)
    assert not (tmp_path / 'pictures').exists()


def test_slices_that_cover_the_images_change_nothing(saved, plain, tmp_path):
    assert predict(saved, tmp_path, '--slice', 200, 200, '--no-pictures') == plain
    assert len(predict(saved, tmp_path, '--slice', 64, 64, '--overlap', 16)['0.png.json']['labels'])
    assert len(list((tmp_path / 'pictures').glob('*.png'))) == 4


def test_views_are_merged_as_in_a_test(saved, plain, tmp_path):
    found = predict(saved, tmp_path / 'tta', '--tta', '--no-pictures')
    assert found != plain
    work = ['--work-dir', tmp_path / 'work', '--dump', tmp_path / 'a.pkl', '--tta']
    # A test reads the same images as a dataset.
    infer_of = {name.removesuffix('.json'): own for name, own in found.items()}
    coco = dict(
        images=[
            dict(id=i, file_name=name, height=own['height'], width=own['width'])
            for i, (name, own) in enumerate(infer_of.items())
        ],
        annotations=[],
        categories=[dict(id=i, name=name) for i, name in enumerate(CLASSES)],
    )
    (tmp_path / 'own.json').write_text(json.dumps(coco))
    options = [
        f'test_dataloader.dataset.ann_file={tmp_path}/own.json',
        f'test_dataloader.dataset.data_prefix.img={saved}/images',
        f'test_evaluator.ann_file={tmp_path}/own.json',
        'test_evaluator.format_only=True',
        f'test_evaluator.outfile_prefix={tmp_path}/result',
    ]
    words = [saved / 'mine.py', saved / 'random.pth', *work, '--cfg-options', *options]
    result = run_here('test', *words)
    assert result.returncode == 0, result.stderr[-1500:]
    tested = {Path(t['img_path']).name: t for t in pickle.loads((tmp_path / 'a.pkl').read_bytes())}
    for name, own in infer_of.items():
        expected = tested[name]['pred_instances']
        np.testing.assert_allclose(own['scores'], expected['scores'], rtol=1e-4)
        np.testing.assert_allclose(own['bboxes'], expected['bboxes'], atol=1e-2)


def test_mixed_precision_is_close(saved, plain, tmp_path):
    found = predict(saved, tmp_path, '--amp', '--no-pictures')
    assert found != plain
    for own, other in zip(found.values(), plain.values()):
        assert np.abs(np.subtract(sorted(own['scores']), sorted(other['scores']))).max() < 0.05


@pytest.mark.parametrize(
    'flags, text',
    {
        '--overlap 5': '--overlap=5 needs --slice H W',
        '--slice 64 64 --tta': '--slice and --tta exclude each other; choose one',
        '--slice 64 64 --overlap 64': '--overlap=64 must be at least 0 and below both sides',
        '--slice 0 64': r'--slice \[0, 64\]: give the height and width',
    }.items(),
)
def test_options_that_do_not_fit(saved, tmp_path, flags, text):
    with pytest.raises(ConfigError, match=text):
        predict(saved, tmp_path / 'out', *flags.split())
    assert not (tmp_path / 'out').exists()
