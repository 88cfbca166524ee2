"""From a folder of your own videos to top-1, following docs/own_videos.md, with its checks."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import ROOT, scalars, succeed
from mmengine.config import Config

pytest.importorskip('mmaction')
from narrow_recognizer import narrow_recognizer, shrink_clips, write_clip

from swinv2_dense.cli.common import check_config
from swinv2_dense.errors import ConfigError
from swinv2_dense.own_data import read_class_folders, set_num_classes
from swinv2_dense.video import FolderVideoDataset

PAGE = (ROOT / 'docs' / 'own_videos.md').read_text()
SNIPPETS = re.findall(r'```python\n(.*?)```', PAGE, re.S)
NAMES = ('Jump', 'clap hands', 'wave')
COLOURS = dict(zip(NAMES, [(220, 60, 60), (60, 220, 60), (60, 60, 220)]))


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noisy clips, one color per class, next to stray files as in real folders."""
    root = tmp_path_factory.mktemp('own') / 'moves'
    rng = np.random.default_rng(0)
    for split, count in (('train', 4), ('val', 2)):
        for name in reversed(NAMES):
            for index in range(count):
                noise = rng.integers(-40, 40, (16, 48, 64, 3))
                path = root / split / name / ('day 1' if index else '') / f'{index}.mp4'
                write_clip(path, (np.array(COLOURS[name]) + noise).clip(0, 255).astype(np.uint8))
            (root / split / name / '._0.mp4').write_bytes(b'macOS')
        (root / split / 'notes.txt').write_text('whatever')
        (root / split / '.cache').mkdir()
    (root / 'val' / 'wave' / '0.mp4').rename(root / 'val' / 'wave' / 'A.MP4')
    return root


@pytest.fixture
def named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv('OWN_DATA', str(folder))
    return folder


@pytest.fixture(scope='module')
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's config."""
    path = tmp_path_factory.mktemp('mine') / 'own_video.py'
    path.write_text(SNIPPETS[0])
    return path


@pytest.fixture
def own(named: Path, config: Path) -> Config:
    return Config.fromfile(config)


def small(cfg: Config) -> Config:
    """Few channels, 4 frames of 32 x 32, four short epochs."""
    narrow_recognizer(cfg.model)
    shrink_clips(cfg, 8)
    cfg.train_cfg.update(max_epochs=4, val_begin=4)
    cfg.optim_wrapper.optimizer.lr = 1e-2
    cfg.optim_wrapper.paramwise_cfg.backbone_lr_mult = 1.0
    cfg.param_scheduler = None
    cfg.train_dataloader.batch_size = 2
    for part in ('train', 'val', 'test'):
        cfg[f'{part}_dataloader'].update(num_workers=0, persistent_workers=False)
    cfg.test_pipeline = cfg.test_dataloader.dataset.pipeline  # inference_recognizer takes it
    return cfg


@pytest.mark.slow
def test_from_a_folder_to_top_1(own, named, tmp_path, monkeypatch):
    small(own).dump(tmp_path / 'small.py')
    work_dir = tmp_path / 'work'
    succeed('train', tmp_path / 'small.py', '--work-dir', work_dir, '--seed', 0)
    assert scalars(work_dir)[-1]['acc/top1'] == 1.0
    checkpoint = torch.load(work_dir / 'epoch_4.pth', weights_only=False)
    assert tuple(checkpoint['meta']['dataset_meta']['classes']) == NAMES
    assert len(checkpoint['state_dict']['cls_head.fc_cls.bias']) == len(NAMES)

    args = ['--work-dir', tmp_path / 'test', '--dump', tmp_path / 'scores.pkl']
    succeed('test', tmp_path / 'small.py', work_dir / 'epoch_4.pth', *args)
    (tested,) = (tmp_path / 'test').glob('*/*.json')
    assert json.loads(tested.read_text())['acc/top1'] == 1.0
    samples = pickle.loads((tmp_path / 'scores.pkl').read_bytes())
    assert [int(s['gt_label']) for s in samples] == [0, 0, 1, 1, 2, 2]
    assert [int(s['pred_score'].argmax()) for s in samples] == [0, 0, 1, 1, 2, 2]

    monkeypatch.setenv('OWN_DATA', str(tmp_path / 'gone'))  # the trained config does without
    snippet = SNIPPETS[1].replace('work_dirs/own_video/own_video.py', str(work_dir / 'small.py'))
    snippet = snippet.replace('work_dirs/own_video/epoch_30.pth', str(work_dir / 'epoch_4.pth'))
    found = {}
    exec(snippet.replace('video.mp4', str(named / 'val' / 'clap hands' / '0.mp4')), found)
    assert found['name'] == 'clap hands'


def test_the_config_of_the_page_passes(own):
    check_config(own, ('train', 'val'))
    check_config(own, ('test',))
    assert own.model.cls_head.num_classes == 3


def test_a_missing_folder_is_reported(config, tmp_path, monkeypatch):
    monkeypatch.setenv('OWN_DATA', str(tmp_path / 'gone'))
    with pytest.raises(ConfigError) as error:
        Config.fromfile(config)
    assert str(error.value) == (
        f"folder of videos '{tmp_path}/gone/train' does not exist; fix data_root, for "
        'configs/_base_/datasets/own_videos.py with export OWN_DATA=FOLDER'
    )


# ------------------------------------------------------------------------------------- the folder


def touch(root: Path, *names: str) -> str:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return str(root)


def test_videos_get_the_label_of_their_folder(folder):
    assert read_class_folders(str(folder / 'train')) == NAMES
    prefix = dict(video='val')
    classes = dict(classes=('wave', 'clap hands', 'run', 'Jump'))  # nobody runs in val
    dataset = FolderVideoDataset(prefix, [], classes, data_root=str(folder), test_mode=True)
    found = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert [(str(Path(f['filename']).relative_to(folder / 'val')), f['label']) for f in found] == [
        ('wave/A.MP4', 0),
        ('wave/day 1/1.mp4', 0),
        ('clap hands/0.mp4', 1),
        ('clap hands/day 1/1.mp4', 1),
        ('Jump/0.mp4', 3),
        ('Jump/day 1/1.mp4', 3),
    ]
    with pytest.raises(ValueError, match=r'needs metainfo=dict\(classes='):
        FolderVideoDataset(prefix, [], data_root=str(folder))


@pytest.mark.parametrize(
    'names, message',
    [
        (['a/1.mp4'], 'has 1 class folders, and at least 2'),
        (['1.mp4', 'b.txt'], 'has 0 class folders.* as .*/CLASS/VIDEO.mp4'),
        (['a/1.mp4', 'b/2.mp4', 'z.mkv'], r'1 videos in .* not in a class folder, first .*/z\.mkv'),
        (
            ['a/1.mp4', 'b/2.ts', 'b/.c.mp4'],
            r'1 of 2 videos in .* unsupported format, \.ts .*/b/2\.ts; convert',
        ),
        (['a/c.txt', 'b/2.ts'], r' has no video .*; it has \.ts, \.txt\.'),
    ],
)
def test_invalid_training_folders(names, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        read_class_folders(touch(tmp_path, *names))


def test_a_class_in_val_that_is_not_trained(own, tmp_path):
    touch(tmp_path, 'val/wave/1.mp4', 'val/Wave/1.mp4', 'val/run/2.mp4')
    own.val_dataloader.dataset.data_root = str(tmp_path)
    with pytest.raises(ConfigError, match='of 2 classes that are not trained: Wave, run; the cla'):
        check_config(own, ('train', 'val'))


# -------------------------------------------------------------------------------- numbers of heads


def test_a_head_for_another_number_of_classes(own):
    own.model = set_num_classes(own.model, 400)
    message = 'cls_head.num_classes=400, but train_.* has 3 classes: Jump, clap hands, wave.*=3'
    with pytest.raises(ConfigError, match=message):
        check_config(own, ('train', 'val'))


def test_classes_in_another_order(own):
    own.val_dataloader.dataset.metainfo = dict(classes=NAMES[::-1])
    with pytest.raises(ConfigError, match='train_dataloader.* val_dataloader.* must be identical'):
        check_config(own, ('train', 'val'))
    check_config(own, ('train',))


LISTS = {  # text of a list file, and what is said of it
    'a.mp4 0\nb.mp4 3\n': r':2: label 3, but model\.cls_head\.num_classes=3, so labels are 0 to 2',
    'a.mp4 -1\n': ':1: label -1, but',
    'a.mp4 0\n\nb.mp4 1\n': ':2: a blank line',
    'a.mp4 0\nmy b.mp4 1\n': ":2: 2 fields after 'my' instead of one label",
    'a.mp4 wave\n': ":1: label 'wave' is not an integer",
    'a.mp4 1\nb.mp4\n': ':2: no label',
    '': 'lists no videos',
}


def listed(own: Config, path: Path, **settings: object) -> Config:
    """The config with a list file in place of the folders."""
    for part in ('train', 'test'):
        own[f'{part}_dataloader'].dataset = dict(
            type='VideoDataset', ann_file=str(path), data_prefix=dict(video=''), pipeline=[],
            data_root=str(path.parent), **settings,
        )  # fmt: skip
    return own


@pytest.mark.parametrize('text', LISTS)
def test_invalid_list_files(text, own, tmp_path):
    (tmp_path / 'list.txt').write_text(text)
    with pytest.raises(ConfigError, match=LISTS[text]):
        check_config(listed(own, tmp_path / 'list.txt'), ('train',))


def test_valid_list_files(own, tmp_path):
    (tmp_path / 'list.txt').write_text('a.mp4 0\nb.mp4 2')  # a class may be absent
    check_config(listed(own, tmp_path / 'list.txt'), ('train',))
    (tmp_path / 'list.txt').write_text('a.mp4\nb.mp4\n')  # only to be tested with --dump
    check_config(listed(own, tmp_path / 'list.txt'), ('test',))
    (tmp_path / 'list.txt').write_text('my a.mp4;0\n')
    check_config(listed(own, tmp_path / 'list.txt', delimiter=';'), ('train',))
    (tmp_path / 'list.txt').write_text('a.mp4 0 2\n')
    several = dict(multi_class=True, num_classes=3)
    check_config(listed(own, tmp_path / 'list.txt', **several), ('train',))
    own.train_dataloader.dataset.ann_file = str(tmp_path / 'gone.txt')
    with pytest.raises(ConfigError, match="dataset.ann_file='.*gone.txt': there is no such file"):
        check_config(own, ('train',))


def test_classes_without_a_video_are_logged(own, tmp_path, capsys):
    touch(tmp_path, 'val/wave/1.mp4')
    own.val_dataloader.dataset.data_root = str(tmp_path)
    check_config(own, ('train', 'val'))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if 'has no video' in line]
    assert 'val_dataloader.dataset has no video of 2 of 3 classes (Jump, clap hands): acc/' in line
    (tmp_path / 'list.txt').write_text('a.mp4 0\nb.mp4 2\n')
    check_config(listed(own, tmp_path / 'list.txt'), ('train',))
    assert 'no video of 1 of 3 classes (1): they are not learned' in capsys.readouterr().out
