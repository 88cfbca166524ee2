"""ADE20K on disk: planted faults are reported, and the full release becomes 150 classes."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import tool

from swinv2_dense.errors import ConfigError
from swinv2_dense.preparation import ade20k
from swinv2_dense.preparation.ade20k_full import convert, label_of
from swinv2_dense.preparation.ade20k_names import NAMES
from swinv2_dense.preparation.report import ReportRow

SIZE = (37, 29)  # height, width
SPLITS = {'training': 'train', 'validation': 'val'}


def findings(parts: list[ReportRow], level: str) -> list[tuple[str, str, str]]:
    """(part, kind, first example) of all that was found."""
    return [
        (part.name, kind, finding.examples[0])
        for part in parts
        for kind, finding in getattr(part, level).items()
    ]


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


@pytest.fixture
def root(tmp_path) -> Path:
    """Two pairs per split, of all labels."""
    rng = np.random.default_rng(0)
    tree = tmp_path / 'ade' / ade20k.TREE
    for split, short in SPLITS.items():
        for number in (1, 2):
            name = f'ADE_{short}_{number:08}'
            image = rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
            save(tree / f'images/{split}/{name}.jpg', image)
            labels = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) % 151
            save(tree / f'annotations/{split}/{name}.png', labels.astype(np.uint8))
    return tree.parent


def test_a_valid_tree_has_no_faults(root):
    parts = ade20k.check(root, 2)
    assert [(part.name, part.found, part.expected) for part in parts] == [
        (f'{folder}/{split}', 2, 2) for split in SPLITS for folder in ('images', 'annotations')
    ]
    assert not findings(parts, 'faults')
    assert findings(parts, 'warnings') == [
        ('images/training', 'not the 20,210 images of the benchmark', '2'),
        ('images/validation', 'not the 2,000 images of the benchmark', '2'),
    ]


def test_every_kind_of_fault_is_reported(root):
    maps = root / ade20k.TREE / 'annotations' / 'training'
    name = 'ADE_train_00000001'
    labels = np.full(SIZE, 151, np.uint8)

    def found() -> list[tuple[str, str, str]]:
        return findings(ade20k.check(root, 1), 'faults')

    save(maps / f'{name}.png', labels)
    assert found() == [('annotations/training', 'invalid labels', f'{name}.png: 151')]
    save(maps / f'{name}.png', labels[:-1] - 1)
    assert found() == [
        (
            'annotations/training',
            'size differs from the annotations',
            f'{name}.png: 29 x 36, not 29 x 37',
        )
    ]
    save(maps / f'{name}.png', np.zeros(SIZE, np.uint16))
    assert found()[0][1] == 'not one channel of 8 bit'
    (maps / f'{name}.png').unlink()
    assert found() == [('annotations/training', 'missing', f'{name}.png')]
    image = root / ade20k.TREE / 'images' / 'training' / f'{name}.jpg'
    image.write_bytes(image.read_bytes()[:200])
    assert [kind for _, kind, _ in found()] == ['damaged: OpenCV cannot decode it']


def test_a_map_without_an_image_and_an_empty_split(root):
    tree = root / ade20k.TREE
    (tree / 'images/training/ADE_train_00000002.jpg').unlink()
    parts = ade20k.check(root, 1)
    warned = ('annotations/training', 'map without an image', 'ADE_train_00000002.png')
    assert warned in findings(parts, 'warnings')
    shutil.rmtree(tree / 'images/validation')
    faults = findings(ade20k.check(root, 1), 'faults')
    assert faults == [('images/validation', 'no images', str(tree / 'images/validation'))]


def test_the_tool_unpacks_and_reports(root, tmp_path):
    (tmp_path / 'archives').mkdir()
    with zipfile.ZipFile(tmp_path / 'archives' / f'{ade20k.TREE}.zip', 'w') as archive:
        for path in root.rglob('*.*'):
            archive.write(path, path.relative_to(root))
    result = tool('prepare_data', 'ade20k', '--archives', tmp_path / 'archives', '--root', root)
    assert result.returncode == 0 and 'ok, with warnings' in result.stdout, result.printed
    result = tool('prepare_data', 'ade20k', '--root', root / ade20k.TREE)
    assert result.returncode == 2
    assert result.stderr == (
        f'error: --root={root / ade20k.TREE}: give the folder that contains {ade20k.TREE}, {root}\n'
    )


def test_real_samples_have_no_faults(samples, tmp_path):
    (tmp_path / ade20k.TREE).symlink_to(samples / 'ade20k_mini')
    parts = ade20k.check(tmp_path, 2)
    assert [part.found for part in parts] == [5, 5, 33, 33]
    assert not findings(parts, 'faults')


# ------------------------------------------------------------------------------ the full release


# Of the list of the full release, by hand; the labels are those of objectInfo150.txt.
FULL_NAMES = {
    'wall': 1,
    'windowpane, window': 9,
    'door': 15,
    'double door': 15,
    'screen door, screen': 59,
    'screen, silver screen, projection screen': 131,
    'screen, crt screen': 142,
    'television receiver, television, television set, tv, tv set, idiot box, boob tube, telly, '
    'goggle box': 90,
    'bag': 116,
    'bag, handbag, pocketbook, purse': 0,
    'pot, flowerpot': 126,
    'pot': 0,
    'counter': 46,
    'buffet, counter, sideboard': 100,
    'flag': 150,
    'gazebo': 0,
}


def test_names_of_the_full_release():
    assert {name: label_of(name) for name in FULL_NAMES} == FULL_NAMES
    assert len({label_of(name) for name in NAMES}) == len(NAMES) == 150


def test_names_are_those_of_mmseg():
    classes = pytest.importorskip('mmseg.datasets').ADE20KDataset.METAINFO['classes']
    words = [{word.strip() for word in name.split(',')} for name in NAMES]
    assert all(name.strip() in found for name, found in zip(classes, words))


def write_pair(folder: Path, name: str, codes: np.ndarray, names: dict[int, str]) -> None:
    """An image of the full release, its _seg.png and its .json."""
    rng = np.random.default_rng(1)
    save(folder / f'{name}.jpg', rng.integers(0, 256, (*codes.shape, 3), dtype=np.uint8))
    red, green = codes // 256 * 10, codes % 256
    blue = rng.integers(0, 256, codes.shape)  # instances
    save(folder / f'{name}_seg.png', np.stack([blue, green, red], axis=-1).astype(np.uint8))
    objects = [dict(name_ndx=i, name=n, parts=dict(part_level=0)) for i, n in names.items()]
    objects.append(dict(name_ndx=2978, name='knob', parts=dict(part_level='1')))  # a part
    content = json.dumps(dict(annotation=dict(object=objects))).encode()
    (folder / f'{name}.json').write_bytes(content.replace(b'"knob"', b'"knob \xe9"'))


CODES = {2978: 'wall', 783: 'double door', 774: 'door', 1087: 'gazebo', 3109: 'screen, crt screen'}
EXPECTED = {2978: 1, 783: 15, 774: 15, 1087: 0, 3109: 142, 0: 0}


@pytest.fixture
def release(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    for split, short in SPLITS.items():
        folder = tmp_path / 'ADE20K_2021_17_01' / 'images' / 'ADE' / split / 'home' / 'hall'
        codes = rng.choice([*EXPECTED], SIZE)
        write_pair(folder, f'ADE_{short}_00000007', codes, CODES)
    return tmp_path / 'ADE20K_2021_17_01'


def test_the_full_release_becomes_150_classes(release, tmp_path):
    root = tmp_path / 'ade'
    result = tool('prepare_data', 'ade20k', '--root', root, '--convert-full', release)
    assert result.returncode == 0, result.printed
    assert not findings(ade20k.check(root, 1), 'faults')
    for split, short in SPLITS.items():
        name = f'ADE_{short}_00000007'
        source = release / 'images' / 'ADE' / split / 'home' / 'hall'
        tree = root / ade20k.TREE
        there = (tree / 'images' / split / f'{name}.jpg').read_bytes()
        assert there == (source / f'{name}.jpg').read_bytes()
        labels = cv2.imread(str(tree / 'annotations' / split / f'{name}.png'), -1)
        seg = cv2.imread(str(source / f'{name}_seg.png'))
        for y, x in np.ndindex(SIZE):
            _, green, red = map(int, seg[y, x])
            assert labels[y, x] == EXPECTED[red // 10 * 256 + green]


def test_existing_files_are_kept(release, tmp_path):
    root = tmp_path / 'ade'
    assert not findings(convert(release, root, 1), 'faults')
    assert not findings(convert(release, root, 2), 'faults')
    path = root / ade20k.TREE / 'annotations/training/ADE_train_00000007.png'
    mine = np.zeros(SIZE, np.uint8)
    save(path, mine)
    before = {p: p.read_bytes() for p in root.rglob('*.*')}
    parts = convert(release, root, 1)
    assert [(part.found, part.expected) for part in parts] == [(0, 1), (1, 1)]
    ((_, kind, example),) = findings(parts, 'faults')
    assert kind.startswith('differs from the existing file') and str(path) in example
    assert {p: p.read_bytes() for p in root.rglob('*.*')} == before


def test_pairs_that_cannot_be_converted(release, tmp_path):
    folder = release / 'images/ADE/training/home/hall'
    codes = np.full(SIZE, 2978)
    write_pair(folder, 'ADE_train_00000008', codes, {})
    write_pair(folder, 'ADE_train_00000009', codes, CODES)
    (folder / 'ADE_train_00000009.json').unlink()
    codes[0] = 999
    write_pair(folder, 'ADE_train_00000010', codes, CODES)
    write_pair(folder, 'ADE_train_00000011', codes, CODES)
    (folder / 'ADE_train_00000011_seg.png').unlink()
    parts = convert(release, tmp_path / 'ade', 1)
    assert [(part.found, part.expected) for part in parts] == [(2, 5), (1, 1)]
    assert {kind for _, kind, _ in findings(parts, 'faults')} == {
        '.json without names for the classes in _seg.png',
        'no .json beside the image',
        'no readable _seg.png beside the image',
    }
    ((_, kind, example),) = findings(parts, 'warnings')
    assert 'labeled 0' in kind and example == 'ADE_train_00000010.jpg: 999'
    written = sorted(p.name for p in (tmp_path / 'ade').rglob('*train_*'))
    assert written == sorted(
        f'ADE_train_{n}.{suffix}' for n in ('00000007', '00000010') for suffix in ('jpg', 'png')
    )
    with pytest.raises(ConfigError, match='no ADE_.* give the folder of the full release'):
        convert(folder, tmp_path / 'ade', 1)
