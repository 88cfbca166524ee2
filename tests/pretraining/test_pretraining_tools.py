"""Pre-training through the commands, from a folder of images to a checkpoint and pictures."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import ROOT, check_start, run_here, scalars, succeed
from mmengine.config import Config
from narrow import ARCH
from narrow_simmim import CLIP, SIZE, shrink_steps, write_config, write_images, write_videos
from random_models import save_random

from swinv2_dense.cli.common import check_config
from swinv2_dense.errors import ConfigError

VIDEO = 'simmim_swinv2-t-p244-w8x12x12_8xb32-bf16-16x2x1-200e_k400-192'


@pytest.fixture(scope='module')
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp('data') / 'images')


@pytest.fixture(scope='module')
def config(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp('simmim'), images)


@pytest.fixture(scope='module')
def trained(config: Path) -> Path:
    """Work directory of an epoch in bf16."""
    work_dir = config.parent / 'work'
    report = check_start(succeed('train', config, '--work-dir', work_dir))
    assert 'SimMIM with SwinTransformerV2' in report and '4 files' in report
    return work_dir


def value(work_dir: Path) -> float:
    (found,) = [entry for entry in scalars(work_dir) if 'simmim/masked_l1' in entry]
    return found['simmim/masked_l1']


def test_a_test_gives_the_loss_of_the_validation(config, trained, images, tmp_path) -> None:
    """Masks are fixed, so both are equal, and so are the losses of inference on the same files."""
    out, pictures, work_dir = tmp_path / 'out.pkl', tmp_path / 'pictures', tmp_path / 'work'
    flags = ('--out', out, '--show-dir', pictures, '--work-dir', work_dir)
    printed = succeed('test', config, trained / 'epoch_1.pth', *flags)
    assert 'simmim/masked_l1' in printed
    (path,) = work_dir.glob('*/*.json')
    metric = json.loads(path.read_text())['simmim/masked_l1']
    assert metric == pytest.approx(value(trained), abs=1e-4)  # validated in bf16
    tested = {p['img_path']: float(p['masked_l1']) for p in pickle.loads(out.read_bytes())}
    assert metric == pytest.approx(np.mean(list(tested.values())))
    assert len(list(pictures.rglob('*.*'))) == len(tested) == 4
    results = tmp_path / 'inferred'
    succeed('infer', config, trained / 'epoch_1.pth', images, '--out-dir', results)
    found = [json.loads(path.read_text()) for path in results.rglob('*.json')]
    assert len(found) == 8
    inferred = {entry['input']: entry['masked_l1'] for entry in found}
    for path, loss in tested.items():
        assert inferred[path] == pytest.approx(loss, abs=1e-5)
    picture = cv2.imread(str(next(results.glob('pictures/0/0.*'))))
    assert picture.shape[1] >= 3 * SIZE and picture.std() > 20


def test_a_video_is_reconstructed_frame_by_frame(config, trained, tmp_path) -> None:
    videos, results = write_videos(tmp_path / 'videos', 1), tmp_path / 'inferred'
    succeed('infer', config, trained / 'epoch_1.pth', videos, '--out-dir', results)
    (path,) = results.rglob('*.json')
    frames = json.loads(path.read_text())['frames']
    assert len(frames) == 12 and all(frame['mask'] == frames[0]['mask'] for frame in frames)
    (written,) = results.rglob('*.mp4')
    assert cv2.VideoCapture(str(written)).get(cv2.CAP_PROP_FRAME_COUNT) == 12


def test_clips_are_reconstructed_with_and_without_pictures(tmp_path) -> None:
    videos = write_videos(tmp_path / 'videos', 1)
    cfg = Config.fromfile(ROOT / f'configs/pretraining/{VIDEO}.py')
    cfg.model.backbone.arch = ARCH
    shrink_steps(cfg)
    config, weights = save_random(cfg, tmp_path)
    for flags, pictures in ((), 1), (['--no-pictures'], 0):
        out = tmp_path / f'out{pictures}'
        succeed('infer', config, weights, videos, '--out-dir', out, *flags)
        (record,) = (json.loads(path.read_text()) for path in out.glob('predictions/**/*.json'))
        assert np.shape(record['mask']) == (CLIP // 2, SIZE // 32, SIZE // 32)
        assert len(list(out.glob('pictures/**/*.mp4'))) == pictures


def test_samples_are_drawn_with_their_mask(config, tmp_path) -> None:
    succeed('browse_dataset', config, '--output-dir', tmp_path / 'drawn', '--number', 2)
    drawn = [cv2.imread(str(path)) for path in (tmp_path / 'drawn').iterdir()]
    assert len(drawn) == 2
    for picture in drawn:
        gray = (picture == 128).all(-1).mean()
        assert 0.2 < gray < 0.5  # three quarters of one of two panels, below lines of text


def test_test_time_augmentation_is_refused(config, trained) -> None:
    result = run_here('test', config, trained / 'epoch_1.pth', '--tta')
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1
    assert '--tta: a masked image model has no test-time augmentation' in result.stderr


def step(cfg: Config, name: str) -> dict:
    return next(s for s in cfg.train_dataloader.dataset.pipeline if s.type == name)


def change(cfg: Config, what: str) -> None:
    pipeline = cfg.train_dataloader.dataset.pipeline
    if what == 'size':
        step(cfg, 'RandomResizedCrop').size = 100
    elif what == 'unit':
        step(cfg, 'RandomUnitMask').unit = 16
    elif what == 'no mask':
        pipeline.remove(step(cfg, 'RandomUnitMask'))
    elif what == 'patch':
        cfg.model.backbone.patch_size = 2
    else:
        cfg.model.init_cfg = dict(type='Pretrained', checkpoint='no.pth')


@pytest.mark.parametrize(
    ('what', 'message'),
    [
        ('size', r'inputs of 100 x 100, which are not divisible by the unit of the mask, 32 x 32'),
        ('unit', r'RandomUnitMask has unit=16, but .* a stride of 32 x 32 pixels; set unit=32'),
        ('no mask', r'pipeline draws no mask: add dict\(type=.RandomUnitMask.\)'),
        ('patch', r'has unit=32, but .* a stride of 16 x 16 pixels; set unit=16'),
        ('checkpoint', r"model.init_cfg.checkpoint='no.pth': there is no such file"),
    ],
)
def test_mistakes_are_found_before_anything_is_built(config, what, message) -> None:
    cfg = Config.fromfile(config)
    change(cfg, what)
    with pytest.raises(ConfigError, match=message):
        check_config(cfg, ('train', 'val'))


def test_clips_must_be_whole_units() -> None:
    cfg = Config.fromfile(f'configs/pretraining/{VIDEO}.py')
    cfg.train_dataloader.dataset.update(data_root='.', data_prefix=dict(video=''))
    step(cfg, 'mmaction.SampleFrames').clip_len = 5
    with pytest.raises(ConfigError, match='inputs of 5 x 192 x 192, .* 2 x 32 x 32; change'):
        check_config(cfg, ('train',))


def test_an_empty_folder_ends_the_start_in_one_line(config, tmp_path) -> None:
    (tmp_path / 'empty').mkdir()
    root = f'train_dataloader.dataset.data_root={tmp_path / "empty"}'
    result = run_here('train', config, '--work-dir', tmp_path / 'work', '--cfg-options', root)
    assert result.returncode == 2
    assert f'error: {tmp_path / "empty"} has no images (.jpg, ' in result.stderr


def test_an_image_smaller_than_a_unit_is_named(images, tmp_path) -> None:
    """In a test it is an error; a training replaces it, as any image that cannot be read."""
    folder = tmp_path / 'images'
    for name in ('a.png', 'b.png', 'c.png'):
        small = np.zeros((20, 40, 3), np.uint8)
        folder.mkdir(exist_ok=True)
        cv2.imwrite(str(folder / name), small)
    config = write_config(tmp_path, folder)
    result = run_here('browse_dataset', config, '--output-dir', tmp_path / 'drawn')
    assert result.returncode == 2 and '40 x 20 pixels are fewer than a unit' in result.stderr


def test_costs_of_a_config_are_planned(config) -> None:
    assert 'images of 64 x 64 per GPU' in succeed('plan', config, '--gpus', 8)
    assert 'decoder' in succeed('analyze', config, '--count-only')


def test_the_config_of_the_page_is_ready_to_train(images, tmp_path, monkeypatch) -> None:
    """docs/pretraining.md, with the folder that OWN_DATA names."""
    monkeypatch.setenv('OWN_DATA', str(images))
    page = (ROOT / 'docs/pretraining.md').read_text()
    own, continued, dense = re.findall(r'```python\n(.*?)```', page, re.S)
    (tmp_path / 'own_pretraining.py').write_text(own)
    cfg = Config.fromfile(tmp_path / 'own_pretraining.py')
    assert cfg.train_dataloader.dataset.data_root == f'{images}/'
    check_config(cfg, ('train', 'val'))
    checkpoint = re.search(r"checkpoint='(hf://.*)'", continued)[1]
    assert f"checkpoint='{checkpoint}'" in (ROOT / 'docs/model_zoo.md').read_text()
    assert 'work_dirs/own_pretraining/epoch_300.pth' in dense
    assert cfg.train_cfg.max_epochs == 300
