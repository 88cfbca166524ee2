"""`publish_checkpoint` into a folder with a model card, and the upload of the folder."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from commands import ROOT, run_here
from fake_hub import TOKEN, serve_hub
from mmengine.config import Config
from quickstart_runs import write_run

import swinv2_dense
from swinv2_dense.checkpoints.reading import read_checkpoint_file


@pytest.fixture(scope='module')
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a config, data, and `trained.pth`, as training writes it."""
    folder = tmp_path_factory.mktemp('run')
    config, weights = write_run(folder, 'segmentation')
    cfg = Config.fromfile(config)
    cfg.work_dir = str(folder / 'work')
    classes = cfg.test_dataloader.dataset.metainfo.classes
    meta = dict(cfg=cfg.pretty_text, iter=200, epoch=0, dataset_meta=dict(classes=classes))
    checkpoint = read_checkpoint_file(weights)
    torch.save({**checkpoint, 'meta': meta, 'optimizer': {}}, folder / 'trained.pth')
    metrics = dict(aAcc=98.12345, mIoU=96.2, note='x', AP_l=-1.0, time=0.5, mFscore=math.nan)
    (folder / 'metrics.json').write_text(json.dumps(metrics))
    return folder


def picture(run: Path) -> Path:
    return min((run / 'data').rglob('images/val/*.png'))


def predicted(run: Path) -> np.ndarray:
    return swinv2_dense.load(run / 'mine.py', run / 'random.pth')(picture(run)).label_map


def card(folder: Path) -> tuple[dict, str]:
    """The front matter of a card, and the rest."""
    _, front, text = (folder / 'README.md').read_text().split('---\n', 2)
    return yaml.safe_load(front), text


def test_a_folder_holds_all_that_a_release_needs(run, tmp_path):
    folder = tmp_path / 'new' / 'upernet'
    flags = ('--metrics', run / 'metrics.json', '--license', 'mit')
    result = run_here('publish_checkpoint', run / 'trained.pth', folder, *flags)
    assert result.returncode == 0, result.stderr
    names = ['README.md', 'config.py', 'model.safetensors']
    assert sorted(path.name for path in folder.iterdir()) == names
    front, text = card(folder)
    assert front['license'] == 'mit' and front['library_name'] == 'swinv2_dense'
    assert front['pipeline_tag'] == 'image-segmentation'
    assert front['tags'] == ['swin-transformer-v2', 'mmseg', 'TiledEncoderDecoder']
    (entry,) = front['model-index']
    (outcome,) = entry['results']
    assert [(m['name'], m['value']) for m in outcome['metrics']] == [
        ('mIoU', 96.2), ('aAcc', 98.1235)
    ]  # fmt: skip
    assert outcome['task']['type'] == front['pipeline_tag'] and front['datasets'] == ['data']
    assert 'red stripes, yellow dots, green checks' in text and '| trained | 200 iters |' in text
    assert "load('hf://OWNER/NAME')" in text
    for file in folder.iterdir():
        assert str(run).encode() not in file.read_bytes(), file
    assert Config.fromfile(folder / 'config.py').model.decode_head.num_classes == 6
    found = swinv2_dense.load(folder / 'model.safetensors')
    assert found.classes[:2] == ('red stripes', 'yellow dots')
    assert np.array_equal(found(picture(run)).label_map, predicted(run))


UPLOAD = """
import json, sys
from swinv2_dense import load
from swinv2_dense.cli.main import run_command
from swinv2_dense.cli.common import run
source, folder, image, *flags = sys.argv[1:]
def publish(*words):
    try:
        run_command('publish_checkpoint', words)
    except SystemExit as end:
        return end.code
    return 0
codes = [publish(source, folder, *flags), publish(folder, '--repo', 'owner/edited')]
maps = [load(name)(image).label_map.tolist() for name in sys.stdin.read().split()]
print('RESULT', json.dumps(dict(codes=codes, maps=maps)))
"""


def upload(run: Path, folder: Path, address: str, token: str, names: str, *flags: str):
    """Publish in a new process: huggingface_hub reads its settings on import."""
    settings = dict(
        HF_ENDPOINT=address, HF_HOME=str(folder.parent / 'hub'), HF_TOKEN=token,
        HF_HUB_DISABLE_XET='1', TORCH_HOME=str(folder.parent / 'torch'), OMP_NUM_THREADS='1',
        HF_HUB_DISABLE_PROGRESS_BARS='1',
    )  # fmt: skip
    words = [run / 'trained.pth', folder, picture(run), *flags]
    return subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', UPLOAD, *map(str, words)],
        env={**os.environ, **settings}, cwd=ROOT, input=names, text=True, capture_output=True,
    )  # fmt: skip


def test_an_uploaded_folder_loads_from_the_hub(run, tmp_path):
    pytest.importorskip('huggingface_hub')
    folder = tmp_path / 'release'
    names = 'hf://owner/first hf://owner/edited/model.safetensors'
    with serve_hub() as hub:
        result = upload(
            run, folder, hub.address, TOKEN, names, '--repo', 'owner/first', '--private'
        )
    assert result.returncode == 0, result.stderr[-3000:]
    found = json.loads(result.stdout.partition('RESULT ')[2])
    assert found['codes'] == [0, 0]
    assert hub.private == ['owner/first']
    for name in ('owner/first', 'owner/edited'):
        assert {'README.md', 'config.py', 'model.safetensors'} <= set(hub.repos[name])
        assert hub.repos[name]['config.py'] == (folder / 'config.py').read_bytes()
    assert b"load('hf://owner/first')" in hub.repos['owner/first']['README.md']
    expected = predicted(run)
    assert all(np.array_equal(label_map, expected) for label_map in found['maps'])
    assert f'Uploaded to {hub.address}/owner/first; load it as hf://owner/first' in result.stdout


@pytest.mark.slow
def test_a_refused_upload_ends_in_one_line_and_keeps_the_folder(run, tmp_path):
    pytest.importorskip('huggingface_hub')
    with serve_hub() as hub:
        result = upload(
            run, tmp_path / 'release', hub.address, 'wrong', '', '--repo', 'owner/first'
        )
    assert json.loads(result.stdout.partition('RESULT ')[2])['codes'] == [2, 2]
    first, second = (line for line in result.stderr.splitlines() if line.startswith('error: '))
    assert 'could not be uploaded to owner/first' in first and 'hf auth login' in first
    assert 'owner/edited' in second and (tmp_path / 'release/model.safetensors').is_file()


def test_wrong_use_ends_in_one_line_before_anything_is_written(run, tmp_path, monkeypatch):
    source, folder = run / 'trained.pth', tmp_path / 'release'
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full/mine.txt').write_text('')
    (tmp_path / 'list.json').write_text('[1]')
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    for words, message in (
        ([source, folder, '--repo', 'name'], "--repo='name' must be OWNER/NAME"),
        ([source, folder, '--repo', 'a/b'], 'pip install huggingface_hub'),
        ([source, folder, '--metrics', tmp_path / 'list.json'], 'has no metrics; give'),
        ([source, folder, '--metrics', tmp_path / 'no.json'], 'cannot be read'),
        ([source, tmp_path / 'full'], 'holds mine.txt; name a new folder'),
        ([source, tmp_path / 'x.pth', '--license', 'mit'], '--license is for a model card'),
        ([source, tmp_path / 'x.pt'], 'must end in .safetensors or .pth'),
        ([run / 'random.pth', folder], 'holds no config'),
    ):
        result = run_here('publish_checkpoint', *words)
        assert result.returncode == 2 and message in result.stderr, result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert not folder.exists()
