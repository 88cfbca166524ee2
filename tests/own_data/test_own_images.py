"""From a folder of your own images to top-1, following docs/classification.md, with its checks."""

from __future__ import annotations

import csv
import json
import pickle
import re
from pathlib import Path

import pytest
from commands import ROOT, run_here, scalars
from mmengine.config import Config
from narrow_classifier import narrow_classifier, use_folders, write_class_folders, write_image
from same_training import assert_same_checkpoints

from swinv2_dense.checkpoints.reading import read_checkpoint_file
from swinv2_dense.cli.common import check_config
from swinv2_dense.errors import ConfigError
from swinv2_dense.own_data import read_image_folders, set_num_classes

PAGE = (ROOT / 'docs' / 'classification.md').read_text()
SNIPPETS = re.findall(r'```python\n(.*?)```', PAGE, re.S)
NAMES = ('Apple pie', 'banana', 'zebra')


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noisy images, one color per class, next to stray files as in real folders."""
    root = write_class_folders(tmp_path_factory.mktemp('own') / 'food', NAMES, dict(train=6, val=2))
    for split in ('train', 'val'):
        (root / split / 'notes.txt').write_text('whatever')
        (root / split / '.cache').mkdir()
        (root / split / 'zebra' / '._0.jpg').write_bytes(b'macOS')
    (root / 'val' / 'banana' / 'day 1').mkdir()
    (root / 'val' / 'banana' / '1.jpg').rename(root / 'val' / 'banana' / 'day 1' / 'B.JPG')
    return root


@pytest.fixture
def own(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """The page's config."""
    monkeypatch.setenv('OWN_DATA', str(folder))
    (tmp_path / 'own_images.py').write_text(SNIPPETS[0])
    return Config.fromfile(tmp_path / 'own_images.py')


def small(cfg: Config, folder: Path) -> Config:
    """Few channels, images of 32 x 32, three short epochs."""
    narrow_classifier(cfg.model)
    cfg.model.backbone.update(window_size=4, drop_path_rate=0.0)
    cfg.model.train_augment.prob = 0.3
    cfg.train_cfg.update(max_epochs=3)
    cfg.default_hooks.checkpoint.max_keep_ckpts = -1
    cfg.optim_wrapper.optimizer.lr = 2e-3
    cfg.optim_wrapper.paramwise_cfg.backbone_lr_mult = 1.0
    cfg.param_scheduler = None
    cfg.train_dataloader.batch_size = 2
    use_folders(cfg, folder)
    for part in ('train', 'val', 'test'):
        for step in cfg[f'{part}_dataloader'].dataset.pipeline:
            for key in ('size', 'crop_size'):
                if key in step:
                    step[key] //= 8
    # Colors are the classes, so they must not be augmented.
    steps = cfg.train_dataloader.dataset.pipeline
    cfg.train_dataloader.dataset.pipeline = [s for s in steps if s.type != 'RandAugment']
    return cfg


@pytest.fixture
def unformatted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Configs as plain Python: formatting them takes longer than the training."""

    def text(cfg: Config) -> str:
        return ''.join(f'{key} = {value!r}\n' for key, value in cfg.to_dict().items())

    monkeypatch.setattr(Config, 'pretty_text', property(text))


def succeed(*args: object) -> str:
    result = run_here(*args)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


@pytest.mark.usefixtures('unformatted')
def test_from_a_folder_to_top_1(own, folder, tmp_path, monkeypatch):
    """Trained, resumed from the middle bit by bit, tested with all outputs, and inferred."""
    config, work = tmp_path / 'small.py', tmp_path / 'work'
    small(own, folder).dump(config)
    printed = succeed('train', config, '--work-dir', work, '--seed', 0)
    assert 'Failed to' not in printed + ''.join(p.read_text() for p in work.glob('*/*.log'))
    assert scalars(work)[-1]['acc/top1'] == scalars(work)[-1]['acc/mean1'] == 1.0
    assert 'acc/top5' not in scalars(work)[-1]
    checkpoint = work / 'epoch_3.pth'
    saved = read_checkpoint_file(checkpoint)
    assert tuple(saved['meta']['dataset_meta']['classes']) == NAMES
    assert len(saved['state_dict']['head.fc.bias']) == len(NAMES)

    flags = ('--resume', work / 'epoch_2.pth', '--seed', 0)
    succeed('train', config, '--work-dir', tmp_path / 'resumed', *flags)
    assert_same_checkpoints(tmp_path / 'resumed', work, 'epoch_3.pth')

    out, test = tmp_path / 'out', tmp_path / 'test'
    flags = ('--out', out, '--dump', tmp_path / 'a.pkl', '--show-dir', out, '--work-dir', test)
    succeed('test', config, checkpoint, *flags)
    samples = pickle.loads((tmp_path / 'a.pkl').read_bytes())
    assert [int(s['gt_label']) for s in samples] == [0, 0, 1, 1, 2, 2]
    with open(out / 'predictions.csv') as file:
        rows = list(csv.DictReader(file))
    assert [row['class_1'] for row in rows] == [row['truth'] for row in rows]
    assert [row['truth'] for row in rows[::2]] == list(NAMES)
    assert (out / 'banana' / 'day 1' / 'B.JPG').is_file()
    assert json.loads(next(test.glob('*/*.json')).read_text())['acc/top1'] == 1.0

    succeed('test', config, checkpoint, '--tta', '--out', tmp_path / 'tta', '--work-dir', test)
    with open(tmp_path / 'tta' / 'predictions.csv') as file:
        assert [row['class_1'] for row in csv.DictReader(file)] == [row['truth'] for row in rows]

    monkeypatch.setenv('OWN_DATA', str(tmp_path / 'gone'))  # the trained config does without
    results = tmp_path / 'results'
    succeed('infer', work / 'small.py', checkpoint, folder / 'val', '--out-dir', results)
    for index, path in enumerate(sorted((folder / 'val').rglob('*/[0-9B]*.*'))):
        name = path.relative_to(folder / 'val')
        record = json.loads((results / 'predictions' / f'{name}.json').read_text())
        assert record['top'][0]['name'] == name.parts[0]
        scores = {entry['label']: entry['score'] for entry in record['top']}
        expected = samples[index]['pred_score']
        assert scores == pytest.approx(dict(enumerate(expected.tolist())), abs=1e-5)
        assert (results / 'pictures' / name).is_file()


def test_samples_are_drawn(own, folder, tmp_path):
    small(own, folder).dump(tmp_path / 'small.py')
    drawn = tmp_path / 'drawn'
    printed = succeed('browse_dataset', tmp_path / 'small.py', '--output-dir', drawn, '--number', 3)
    assert 'Wrote 3 of 18 samples (train)' in printed
    assert len(list(drawn.iterdir())) == 3


def test_costs_of_a_config_are_planned(own, folder, tmp_path):
    small(own, folder).dump(tmp_path / 'small.py')
    printed = succeed('plan', tmp_path / 'small.py', '--gpus', 8)
    assert '2 images of 32 x 32 per GPU, 8 GPUs: 16 images per step' in printed
    assert 'head' in succeed('analyze', tmp_path / 'small.py', '--count-only')


def test_the_config_of_the_page_passes(own):
    own.model.backbone.init_cfg = None
    check_config(own, ('train', 'val'))
    check_config(own, ('test',))
    assert own.model.head.num_classes == 3


# ------------------------------------------------------------------------------------- mistakes


def test_a_missing_folder_is_reported(tmp_path, monkeypatch):
    monkeypatch.setenv('OWN_DATA', str(tmp_path / 'gone'))
    (tmp_path / 'own_images.py').write_text(SNIPPETS[0])
    with pytest.raises(ConfigError) as error:
        Config.fromfile(tmp_path / 'own_images.py')
    assert str(error.value) == (
        f"folder of images '{tmp_path}/gone/train' does not exist; fix data_root, for "
        'configs/_base_/datasets/own_images.py with export OWN_DATA=FOLDER'
    )


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        (('a/1.jpg',), '1 class folders, and at least 2 are needed; arrange images as .*IMAGE.jpg'),
        (('a/1.jpg', 'b/1.txt'), 'b has no image .*; it has .txt. Add images, or move it away'),
        (
            ('a/1.jpg', 'b/1.jpg', '2.jpg'),
            '1 images in .* are not in a class folder, first .*2.jpg',
        ),
        (('a/1.jpg', 'b/1.jpg', 'b/2.heic'), r'1 of 3 images .* unsupported format, .heic \(1\)'),
    ],
)
def test_folders_without_classes_or_images(tmp_path, names, message):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(ConfigError, match=message):
        read_image_folders(str(tmp_path))


def test_a_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    """Permissions do not stop the superuser, who runs tests in containers."""

    def refuse(path: str) -> list[str]:
        raise PermissionError(13, 'Permission denied', path)

    monkeypatch.setattr('os.listdir', refuse)
    with pytest.raises(ConfigError) as error:
        read_image_folders(str(tmp_path))
    assert str(error.value) == f"folder '{tmp_path}' cannot be listed: Permission denied"


def checked(cfg: Config, loaders: tuple[str, ...] = ('train', 'val')) -> str:
    cfg.model.backbone.init_cfg = None
    with pytest.raises(ConfigError) as error:
        check_config(cfg, loaders)
    assert '\n' not in str(error.value)
    return str(error.value)


def test_a_head_for_another_number_of_classes(own):
    own.model = set_num_classes(own.model, 1000)
    message = (
        'model.head.num_classes=1000, but train_.* has 3 classes: Apple pie, banana, zebra.*=3'
    )
    assert re.match(message, checked(own))


def test_a_head_for_other_channels(own):
    own.model.head.in_channels = 1024
    assert 'model.head.in_channels=[1024]' in checked(own)


def test_classes_in_another_order(own):
    own.val_dataloader.dataset.metainfo = dict(classes=NAMES[::-1])
    assert 'both lists must be identical' in checked(own)


def test_class_folders_that_differ_between_splits(own, folder, tmp_path):
    """Of ImageNet's layout, where a missing folder would shift the labels of all that follow."""
    write_class_folders(tmp_path, ('n1', 'n2', 'n3'), dict(train=1))
    write_class_folders(tmp_path, ('n1', 'n3', 'n4'), dict(val=1))
    for split in ('train', 'val'):
        dataset = own[f'{split}_dataloader'].dataset
        dataset.update(type='SortedFolderDataset', data_root=str(tmp_path), metainfo=None)
    assert 'class 1 is' in checked(own) or "class folder 'n3' has label" in checked(own)
    for split in ('train', 'val'):
        own[f'{split}_dataloader'].dataset.metainfo = dict(classes=NAMES)
    assert checked(own).startswith(
        "class folder 'n3' has label 2 in train_dataloader.dataset and 1"
    )


def test_a_class_that_is_not_trained(own, tmp_path):
    write_class_folders(tmp_path, (*NAMES, 'mango'), dict(val=1))
    own.val_dataloader.dataset.data_root = str(tmp_path)
    assert 'val has folders of 1 classes that are not trained: mango' in checked(own)


def test_a_class_without_images(own, folder, tmp_path, capsys):
    write_class_folders(tmp_path, NAMES, dict(train=1, val=1))
    (tmp_path / 'train' / 'banana' / '0.jpg').unlink()
    (tmp_path / 'val' / 'banana' / '0.jpg').unlink()
    for split in ('train', 'val'):
        own[f'{split}_dataloader'].dataset.data_root = str(tmp_path)
    assert '1 of 3 class folders' in checked(own) and 'have no images: banana' in checked(own)
    own.model.backbone.init_cfg = None
    check_config(own, ('val',))
    assert 'has no images of 1 of 3 classes (banana), whose accuracy' in capsys.readouterr().out


def test_an_empty_folder(own, tmp_path):
    (tmp_path / 'train').mkdir()
    own.train_dataloader.dataset.update(data_root=str(tmp_path), type='NumberedFolderDataset')
    assert f'{tmp_path}/train has no class folders; arrange images as' in checked(own)


def test_labels_beyond_the_head(own, tmp_path):
    write_class_folders(tmp_path, ('0', '1', '7'), dict(train=1))
    dataset = own.train_dataloader.dataset
    dataset.update(data_root=str(tmp_path), type='NumberedFolderDataset')
    assert 'label 7, but model.head.num_classes=3, so labels are 0 to 2' in checked(own)
    write_image(tmp_path / 'a.jpg', (1, 2, 3))
    (tmp_path / 'list.txt').write_text('a.jpg 2\na.jpg 3\n')
    dataset.update(type='ImageListDataset', ann_file='list.txt', data_prefix=dict(img_path=''))
    assert f'{tmp_path}/list.txt:2: label 3, but model.head.num_classes=3' in checked(own)


def test_names_of_a_list_in_a_file_that_does_not_exist(own, tmp_path):
    write_image(tmp_path / 'a.jpg', (1, 2, 3))
    (tmp_path / 'list.txt').write_text('a.jpg 2\n')
    dataset = own.train_dataloader.dataset
    dataset.update(data_root=str(tmp_path), ann_file='list.txt', data_prefix=dict(img_path=''))
    dataset.update(type='ImageListDataset', metainfo=dict(classes='gone.txt'))
    assert "dataset.metainfo.classes='gone.txt': there is no such file; give a tuple" in checked(
        own
    )
    (tmp_path / 'names.txt').write_text('apple\nbanana\n')
    dataset.metainfo = dict(classes=str(tmp_path / 'names.txt'))
    assert 'model.head.num_classes=3, but train_dataloader.dataset has 2 classes' in checked(own)


@pytest.mark.usefixtures('unformatted')
def test_an_unreadable_image_ends_a_run_before_the_first_step(own, folder, tmp_path):
    """Or is replaced by another one, as everywhere; here 16 bits that hold only 12."""
    import cv2
    import numpy as np

    write_class_folders(tmp_path / 'data', NAMES, dict(train=1, val=1))
    path = tmp_path / 'data' / 'train' / 'zebra' / '9.png'
    assert cv2.imwrite(str(path), np.full((40, 40), 4000, np.uint16))
    cfg = small(own, tmp_path / 'data')
    cfg.dump(tmp_path / 'small.py')
    result = run_here('train', tmp_path / 'small.py', '--work-dir', tmp_path / 'work')
    assert result.returncode == 2
    assert 'has 16 bits, but no value above 4000' in result.stderr and str(path) in result.stderr
