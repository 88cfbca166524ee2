"""Folders of classes and tables of paths and labels, of images and videos."""

from __future__ import annotations

from pathlib import Path

import pytest
from clips import write_clip
from format_writers import Scene, write_image

from swinv2_dense.errors import ConfigError
from swinv2_dense.preparation.own import write_folders
from swinv2_dense.preparation.own.prepare import Options, Prepared, prepare

LABELS = dict(cat=('a', 'b', 'c'), dog=('d', 'e'))


def write_images(root: Path, place: str = '{label}/{stem}.jpg') -> Path:
    for label, stems in LABELS.items():
        for stem in stems:
            path = root / place.format(label=label, stem=stem)
            write_image(path, Scene(f'{label}-{stem}.jpg', 20, 16))
    return root


def labels_of(prepared: Prepared) -> dict[str, str]:
    return {s.path.stem: s.label for part in prepared.splits.values() for s in part}


TRUTH = {stem: label for label, stems in LABELS.items() for stem in stems}


@pytest.mark.parametrize('place', ['{label}/{stem}.jpg', 'images/{label}/day 1/{stem}.jpg'])
def test_folders_of_images(place, tmp_path):
    prepared = prepare(write_images(tmp_path / 'src', place), Options(seed=3))
    assert prepared.target == 'images'
    assert labels_of(prepared) == TRUTH
    write_folders.write(prepared.splits, tmp_path / 'src', tmp_path / 'out')
    files = [path.relative_to(tmp_path / 'out').parts for path in (tmp_path / 'out').rglob('*.jpg')]
    assert {Path(parts[-1]).stem: parts[1] for parts in files} == TRUTH
    assert {parts[0] for parts in files} == {'train', 'val'}


def test_folders_in_splits(tmp_path):
    write_images(tmp_path, 'train/{label}/{stem}.jpg')
    write_image(tmp_path / 'valid' / 'dog' / 'z.jpg', Scene('z.jpg', 20, 16))
    prepared = prepare(tmp_path, Options())
    assert {s: len(found) for s, found in prepared.splits.items()} == dict(train=5, val=1)
    assert labels_of(prepared) == TRUTH | dict(z='dog')


@pytest.mark.parametrize(
    ('name', 'text'),
    [
        ('labels.csv', 'filename,label\n{}'),
        ('labels.csv', '{}'),
        ('labels.csv', 'id;path;class\n1;{}'),
        ('labels.tsv', 'path\tlabel\n{}'),
        ('list.txt', '{}'),
    ],
)
def test_tables(name, text, tmp_path):
    write_images(tmp_path, 'images/{stem}.jpg')
    mark = {'tsv': '\t', 'txt': ' '}.get(name[-3:], ';' if ';' in text else ',')
    start = '1;' if ';' in text else ''
    rows = [f'{start}images/{stem}.jpg{mark}{label}' for stem, label in TRUTH.items()]
    (tmp_path / name).write_text(text.replace('1;{}', '{}').format('\n'.join(rows)))
    prepared = prepare(tmp_path, Options())
    assert prepared.report[1].startswith('format: table')
    assert labels_of(prepared) == TRUTH


def test_a_table_with_splits(tmp_path):
    write_images(tmp_path, '{stem}.jpg')
    rows = [
        f'{stem}.jpg,{label},{"valid" if stem == "e" else "train"}' for stem, label in TRUTH.items()
    ]
    (tmp_path / 'all.csv').write_text('\n'.join(['image,class,split', *rows]))
    prepared = prepare(tmp_path, Options())
    assert [sample.path.stem for sample in prepared.splits['val']] == ['e']


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (
            'path,label\na.jpg,cat\nq.jpg,dog\n',
            r"annotated images are missing, first 'q\.jpg' of t\.csv, line 3",
        ),
        (
            'path,label\na.jpg,cat\nb.jpg,\n',
            r'1 rows have no path or no label, first t\.csv, line 3',
        ),
        ('path,label\na.jpg,cat\na.jpg,dog\n', r'1 files have two labels, first a\.jpg: cat, dog'),
        ('path,label\n../a.jpg,cat\nb.jpg,dog\n', r'1 paths lead out of the folder'),
        ('filename,class,xmin\na.jpg,cat,3\n', r't\.csv has boxes, and tables of boxes differ'),
    ],
)
def test_wrong_tables(text, message, tmp_path):
    write_images(tmp_path, '{stem}.jpg')
    (tmp_path / 't.csv').write_text(text)
    with pytest.raises(ConfigError, match=message):
        prepare(tmp_path, Options())


def test_videos(tmp_path):
    pytest.importorskip('av')
    for label in ('wave', 'clap hands'):
        for index in range(3):
            write_clip(tmp_path / 'src' / label / f'{index}.mp4', 4 + index + len(label))
    prepared = prepare(tmp_path / 'src', Options())
    assert prepared.target == 'clips'
    assert prepared.found.classes == ['clap hands', 'wave']
    write_folders.write(prepared.splits, tmp_path / 'src', tmp_path / 'out')
    assert len(list(tmp_path.glob('out/train/*/*.mp4'))) == 4
    assert len(list(tmp_path.glob('out/val/*/*.mp4'))) == 2
    path = tmp_path / 'src' / 'wave' / '1.mp4'
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(
        ConfigError, match=r'1 videos are damaged, first wave/1\.mp4: broken: .*skip-b'
    ):
        prepare(tmp_path / 'src', Options())
    assert len(prepare(tmp_path / 'src', Options(skip_broken=True)).found.samples) == 5


def test_a_label_that_is_no_folder(tmp_path):
    write_images(tmp_path / 'src', '{stem}.jpg')
    (tmp_path / 'src/t.csv').write_text('path,label\na.jpg,../x\nb.jpg,dog\nc.jpg,dog\n')
    splits = prepare(tmp_path / 'src', Options()).splits
    with pytest.raises(ConfigError, match=r"label '\.\./x' cannot be the name of a folder; rename"):
        write_folders.write(splits, tmp_path / 'src', tmp_path / 'out')
