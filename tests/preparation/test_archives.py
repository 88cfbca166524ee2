"""Archives are unpacked completely, without replacing files or writing outside the folder."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import tool

from swinv2_dense.errors import ConfigError
from swinv2_dense.preparation import archives, coco, objects365
from swinv2_dense.preparation.archives import unpack
from swinv2_dense.preparation.report import is_sound

TABLE = {'a.zip': '', 'b.tar.gz': 'below', 'c.json': 'below'}
SIZE = (37, 29)  # width, height


def zipped(path: Path, members: dict[str, bytes | str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, *members: tuple[str, bytes | str], **attributes: object) -> Path:
    """A .tar.gz; `attributes` go to the last member."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, 'w:gz') as archive:
        for index, (name, content) in enumerate(members):
            info = tarfile.TarInfo(name)
            data = content.encode() if isinstance(content, str) else content
            info.size = len(data)
            if index == len(members) - 1:
                for key, value in attributes.items():
                    setattr(info, key, value)
            archive.addfile(info, io.BytesIO(data))
    return path


def content_of(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob('*') if p.is_file()}


@pytest.fixture
def given(tmp_path) -> Path:
    """Folder of archives, beside which `root` may be made."""
    (tmp_path / 'given').mkdir()
    return tmp_path / 'given'


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / 'new' / 'root'


def image(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (*SIZE[::-1], 3), dtype=np.uint8)
    return cv2.imencode('.jpg', pixels)[1].tobytes()


def coco_archives(given: Path) -> dict[str, bytes]:
    """The official archives with one image each; returns the tree that they make."""
    classes = pytest.importorskip('mmdet.datasets').CocoDataset.METAINFO['classes']
    width, height = SIZE
    content = dict(
        images=[dict(id=1, file_name='1.jpg', width=width, height=height)],
        annotations=[],
        categories=[dict(id=i, name=n) for i, n in zip(coco.CATEGORY_IDS, classes)],
    )
    labels = cv2.imencode('.png', np.full((height, width), 181, np.uint8))[1].tobytes()
    text = json.dumps(content).encode()
    tree = {f'annotations/instances_{split}2017.json': text for split in ('train', 'val')}
    zipped(given / 'annotations_trainval2017.zip', tree)
    info = {'annotations/image_info_test-dev2017.json': text}
    zipped(given / 'image_info_test2017.zip', info)
    maps = {f'{split}2017/1.png': labels for split in ('train', 'val')}
    zipped(given / 'stuffthingmaps_trainval2017.zip', maps)
    tree |= info | {f'stuffthingmaps/{name}': data for name, data in maps.items()}
    for seed, split in enumerate(('train', 'val', 'test')):
        images = {f'{split}2017/1.jpg': image(seed)}
        zipped(given / f'{split}2017.zip', {f'{split}2017/': b''} | images)
        tree |= images
    return tree


def test_coco_from_archives_to_a_valid_tree(given, root):
    tree = coco_archives(given)
    result = tool('prepare_data', 'coco', '--root', root, '--archives', given)
    assert result.returncode == 0
    assert content_of(root) == tree
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ['stuffthingmaps_trainval2017.zip', '2', 'files', '2', 'ok'] in rows
    assert ['test2017', '1', 'images', '1', 'ok'] in rows


def test_archives_in_the_folder_of_the_dataset(root):
    objects365_archives(root)
    for _ in range(2):
        assert is_sound(unpack(root, root, objects365.ARCHIVES))


def test_existing_files_are_kept(given, root):
    tree = coco_archives(given)
    unpack(given, root, coco.ARCHIVES)
    mine = root / 'val2017/1.jpg'
    mine.write_bytes(image(9))
    longer = root / 'test2017/1.jpg'
    longer.write_bytes(tree['test2017/1.jpg'] + b'x')
    (root / 'train2017/1.jpg').unlink()
    times = {path: path.stat().st_mtime_ns for path in root.rglob('*.*')}
    parts = unpack(given, root, coco.ARCHIVES)
    kept = {'val2017/1.jpg': image(9), 'test2017/1.jpg': tree['test2017/1.jpg'] + b'x'}
    assert content_of(root) == tree | kept
    assert times.items() <= {path: path.stat().st_mtime_ns for path in root.rglob('*.*')}.items()
    faulty = {part.name: part for part in parts if part.faults}
    assert set(faulty) == {'val2017.zip', 'test2017.zip'}
    assert (faulty['val2017.zip'].found, faulty['val2017.zip'].expected) == (0, 1)
    ((kind, finding),) = faulty['val2017.zip'].faults.items()
    assert 'differs from the existing file, which was kept' in kind
    assert finding.examples == [str(mine)]


def objects365_archives(given: Path) -> None:
    """Two patches of each split, as the site names them, and one image that does not exist."""
    classes = pytest.importorskip('mmdet.datasets').Objects365V2Dataset.METAINFO['classes']
    width, height = SIZE
    for split, below in [('train', 'train'), ('val', 'val/images/v2')]:
        images, boxes = [], []
        for number in (6, 16):
            name = f'patch{number}/objects365_v2_0000000{number}.jpg'
            tarred(given / below / f'patch{number}.tar.gz', (name, image(number)))
            images.append(
                dict(id=number, file_name=f'images/v2/{name}', width=width, height=height)
            )
            box = dict(bbox=[1, 2, 3, 4], area=12, iscrowd=0, isfake=0)
            boxes.append(dict(id=number, image_id=number, category_id=365, **box))
        absent = 'images/v2/patch16/objects365_v2_00908726.jpg'
        images.append(dict(id=1, file_name=absent, width=width, height=height))
        categories = [dict(id=i, name=name) for i, name in enumerate(classes, 1)]
        text = json.dumps(dict(images=images, annotations=boxes, categories=categories))
        if split == 'train':
            tarred(given / 'zhiyuan_objv2_train.tar.gz', ('zhiyuan_objv2_train.json', text))
        else:
            (given / 'zhiyuan_objv2_val.json').write_text(text)


def test_objects365_from_archives_to_what_mmdet_reads(given, root):
    objects365_archives(given)
    parts = unpack(given, root, objects365.ARCHIVES) + objects365.check(root, 2)
    assert is_sound(parts)
    assert not any(part.warnings for part in parts)
    names = [part.name for part in parts]
    assert len(set(names)) == len(names)  # patches of train and val have the same names
    assert {part.name: (part.found, part.expected) for part in parts[-4:]} == {
        'annotations/zhiyuan_objv2_train.json': (2, None),
        'train': (2, 2),
        'annotations/zhiyuan_objv2_val.json': (2, None),
        'val': (2, 2),
    }
    from mmdet.datasets import Objects365V2Dataset

    for split in ('train', 'val'):
        dataset = Objects365V2Dataset(
            data_root=str(root),
            ann_file=f'annotations/zhiyuan_objv2_{split}.json',
            data_prefix=dict(img=f'{split}/'),
            pipeline=[],
        )
        paths = [entry['img_path'] for entry in dataset]
        assert len(paths) == 2
        assert all(map(os.path.isfile, paths))
        assert [entry['instances'][0]['bbox_label'] for entry in dataset] == [364, 364]

    (root / 'train/patch6/objects365_v2_00000006.jpg').unlink()
    (part,) = [part for part in objects365.check(root, 2) if part.faults]
    assert part.name == 'train'
    assert part.faults['missing'].examples == ['patch6/objects365_v2_00000006.jpg']


LINK = 0o120777 << 16


def zip_with_link(path: Path) -> Path:
    info = zipfile.ZipInfo('x')
    info.external_attr = LINK
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('good', 'good')
        archive.writestr(info, '/etc')
        archive.writestr('x/passwd', 'evil')
    return path


HOSTILE = {
    'zip, up': lambda p: zipped(p / 'a.zip', {'good': '', 'train/../../x': 'evil'}),
    'zip, absolute': lambda p: zipped(p / 'a.zip', {'good': '', f'{p.parent}/x': 'evil'}),
    'zip, link': lambda p: zip_with_link(p / 'a.zip'),
    'tar, up': lambda p: tarred(p / 'b.tar.gz', ('../../x', 'evil')),
    'tar, absolute': lambda p: tarred(p / 'b.tar.gz', (f'{p.parent}/x', 'evil')),
    'tar, link': lambda p: tarred(
        p / 'b.tar.gz', ('x', ''), type=tarfile.SYMTYPE, linkname=str(p.parent)
    ),
    'tar, hard link': lambda p: tarred(
        p / 'b.tar.gz', ('x', ''), type=tarfile.LNKTYPE, linkname='/etc/passwd'
    ),
    'tar, device': lambda p: tarred(p / 'b.tar.gz', ('x', ''), type=tarfile.FIFOTYPE),
}


@pytest.mark.parametrize('case', HOSTILE)
def test_a_member_that_would_leave_the_folder_is_refused(given, root, case):
    archive = HOSTILE[case](given)
    before = content_of(given.parent)
    with pytest.raises(ConfigError, match=r"its member '.*x' ") as refusal:
        unpack(given, root, TABLE)
    assert str(archive) in str(refusal.value)
    assert content_of(given.parent) == before
    assert not any(path.is_symlink() for path in given.parent.rglob('*'))


def cut(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


BROKEN = {
    'cut zip': lambda p: cut(zipped(p / 'a.zip', {'x': 'abc'}), -10),
    'cut tar': lambda p: cut(tarred(p / 'b.tar.gz', ('x', os.urandom(40000))), 20000),
    'zip with a wrong byte': lambda p: flip(zipped(p / 'a.zip', {'x': os.urandom(400)}), 100),
    'tar with a wrong checksum': lambda p: flip(tarred(p / 'b.tar.gz', ('x', 'abc')), -6),
    'text as zip': lambda p: (p / 'a.zip').write_text('404 not found'),
    'zip as tar': lambda p: zipped(p / 'b.tar.gz', {'x': 'abc'}),
    'nothing as tar': lambda p: (p / 'b.tar.gz').touch(),
}


@pytest.mark.parametrize('case', BROKEN)
def test_a_broken_archive_is_reported(given, root, case):
    BROKEN[case](given)
    (archive,) = given.iterdir()
    with pytest.raises(ConfigError, match='is broken or has another format') as error:
        unpack(given, root, TABLE)
    assert str(archive) in str(error.value)
    assert content_of(root) == {}


def test_a_wrong_checksum_after_the_last_block_is_found(given, root):
    """The tar fills whole reads, so that tarfile itself does not come to the end of the gzip."""
    size = 5 * archives.CHUNK - 3 * 512  # header and two blocks of end; no padding
    archive = tarred(given / 'b.tar.gz', ('x', bytes(size)))
    flip(archive, -6)
    with pytest.raises(ConfigError, match='b.tar.gz is broken or has another format: CRC'):
        unpack(given, root, TABLE)


@pytest.mark.parametrize(
    'names, message',
    [
        ([], 'contains none of a.zip, b.tar.gz, c.json'),
        (['a.zip', 'b.tar'], 'b.tar: the archive of this dataset is named b.tar.gz'),
        (['a.zip', 'a.zip.part'], 'a.zip.part: the archive of this dataset is named a.zip'),
    ],
)
def test_other_archives_are_errors(given, root, names, message):
    for name in names:
        zipped(given / name, {'x': ''})
    with pytest.raises(ConfigError, match=message):
        unpack(given, root, TABLE)
    assert not root.exists()


def test_an_interruption_leaves_no_partial_file(given, root, monkeypatch):
    zipped(given / 'a.zip', {'one': '1', 'two': '2' * 100})
    copy = shutil.copyfileobj

    def interrupted(source, target, length):
        if source.name == 'two':
            target.write(source.read(50))
            raise KeyboardInterrupt
        copy(source, target, length)

    monkeypatch.setattr(archives.shutil, 'copyfileobj', interrupted)
    with pytest.raises(KeyboardInterrupt):
        unpack(given, root, TABLE)
    assert content_of(root) == {'one': b'1'}
    monkeypatch.undo()
    unpack(given, root, TABLE)
    assert content_of(root) == {'one': b'1', 'two': b'2' * 100}


def test_too_little_space_is_an_error_before_writing(given, root, monkeypatch):
    zipped(given / 'a.zip', {'one': b'1' * 600, 'two': b'2' * 500})
    usage = shutil.disk_usage(given)._replace(free=1099)
    monkeypatch.setattr(archives.shutil, 'disk_usage', lambda path: usage)
    with pytest.raises(ConfigError, match='unpacking needs'):
        unpack(given, root, TABLE)
    assert content_of(root) == {}
    root.mkdir(exist_ok=True, parents=True)
    (root / 'one').write_bytes(b'1' * 600)
    assert [part.found for part in unpack(given, root, TABLE)] == [2]


def test_a_link_in_place_of_a_file_is_not_written_through(given, root, tmp_path):
    zipped(given / 'a.zip', {'one': 'theirs'})
    root.mkdir(parents=True)
    (root / 'one').symlink_to(tmp_path / 'elsewhere')
    (part,) = unpack(given, root, TABLE)
    assert part.faults
    assert not (tmp_path / 'elsewhere').exists()


def test_a_mistake_in_the_call_ends_in_one_line():
    result = tool('prepare_data', 'coco', '--root', 'new', '--archives', 'nowhere')
    assert result.returncode == 2
    assert result.stderr == 'error: --archives=nowhere: there is no such folder\n'
