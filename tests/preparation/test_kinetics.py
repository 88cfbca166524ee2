"""Kinetics: from CSV files and videos to list files for mmaction2."""

from __future__ import annotations

import csv
import os
import shutil
import stat
from pathlib import Path

import pytest
from clips import write_clip, write_cut, write_sound
from commands import tool

pytest.importorskip('av')

from swinv2_dense.errors import ConfigError
from swinv2_dense.preparation import kinetics, videos
from swinv2_dense.preparation.report import format_report, is_sound

COLUMNS = ('label', 'youtube_id', 'time_start', 'time_end', 'split', 'is_cc')
TRAIN = (  # as they stand in the CSV file, not in the order of the alphabet
    ('yoga', '-aB_c1xyz', 3, 13),
    ('air drumming', 'drum0000001', 27, 37),
    ('abseiling', 'gone0000001', 1, 11),
    ('abseiling', 'cut00000001', 1, 11),
    ('yoga', 'empty000001', 0, 10),
    ('yoga', 'sound000001', 0, 10),
    ('yoga', 'short000001', 0, 10),
    ('yoga', 'plain000001', 0, 10),
    ("massaging person's head", 'head0000001', 100, 110),
)
VAL = (('abseiling', 'val00000001', 5, 15), ('air drumming', 'val00000002', 5, 15))


def write_csv(path: Path, rows: tuple, columns: tuple[str, ...] = COLUMNS) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('w', newline='') as file:
        table = csv.writer(file)
        table.writerow(columns)
        table.writerows([*row, path.stem, 0][: len(columns)] for row in rows)


def name(row: tuple) -> str:
    label, video, start, end = row
    return f'{label}/{video}_{start:06d}_{end:06d}.mp4'


@pytest.fixture(scope='module')
def clip(tmp_path_factory) -> Path:
    return write_clip(tmp_path_factory.mktemp('clip') / 'clip.mp4')


@pytest.fixture
def root(tmp_path, clip) -> Path:
    """Each kind of broken video; class folders with spaces in train, with underscores in val."""
    root = tmp_path / 'kinetics400'
    train, val = root / 'videos_train', root / 'videos_val'
    places = [train / name(row) for row in TRAIN] + [
        val / name(row).replace(' ', '_') for row in VAL
    ]
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, place)
    gone, cut, empty, sound, short, plain = places[2:8]
    gone.unlink()
    write_cut(cut)
    empty.write_bytes(b'')
    write_sound(sound)
    write_clip(short, 1)
    plain.rename(plain.with_name('plain000001.mp4'))  # as some downloaders name it
    write_csv(root / 'annotations/train.csv', TRAIN)
    write_csv(root / 'annotations/validate.csv', VAL, COLUMNS[:5])
    return root


def lines(root: Path, file: str) -> list[str]:
    return (root / file).read_text().splitlines()


def test_lists_contain_intact_videos_with_alphabetical_labels(root):
    parts = {part.name: part for part in kinetics.check(root, 2)}
    assert lines(root, 'kinetics4_label_map.txt') == [
        'abseiling',
        'air drumming',
        "massaging person's head",
        'yoga',
    ]
    assert lines(root, 'kinetics4_train_list_videos.txt') == [
        'yoga/-aB_c1xyz_000003_000013.mp4 3',
        'air_drumming/drum0000001_000027_000037.mp4 1',
        'yoga/plain000001.mp4 3',
        "massaging_person's_head/head0000001_000100_000110.mp4 2",
    ]
    assert lines(root, 'kinetics4_val_list_videos.txt') == [
        'abseiling/val00000001_000005_000015.mp4 0',
        'air_drumming/val00000002_000005_000015.mp4 1',
    ]
    assert (parts['videos_train'].found, parts['videos_train'].expected) == (4, 9)
    assert (parts['videos_val'].found, parts['videos_val'].expected) == (2, 2)
    assert is_sound(list(parts.values()))
    assert '1 x missing, omitted from the list' in format_report(list(parts.values()))


def test_missing_and_broken_videos_are_reported_and_listed(root):
    (part,) = (part for part in kinetics.check(root, 2) if part.name == 'videos_train')
    found = {kind.split(',')[0]: f.examples for kind, f in part.warnings.items()}
    assert found.pop('missing') == ['gone0000001_000001_000011']
    assert {kind: [Path(e).name[:5] for e in examples] for kind, examples in found.items()} == {
        'broken': ['cut00'],
        'empty': ['empty'],
        'no video stream': ['sound'],
        'too short': ['short'],
    }
    left_out = dict(line.split('\t') for line in lines(root, 'kinetics4_train_left_out.txt'))
    assert len(left_out) == 5
    assert left_out['gone0000001_000001_000011'] == 'missing'
    assert left_out['yoga/short000001_000000_000010.mp4'] == 'too short: 1 frames'


def test_the_lists_are_read_by_mmaction2(root):
    pytest.importorskip('mmaction')
    from mmaction.datasets import VideoDataset

    kinetics.check(root, 2)
    dataset = VideoDataset(
        'kinetics4_train_list_videos.txt',
        [],
        data_root=str(root),
        data_prefix=dict(video='videos_train'),
    )
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert [info['label'] for info in infos] == [3, 1, 3, 2]
    assert all(Path(info['filename']).stat().st_size for info in infos)


def test_videos_are_not_modified_and_runs_are_repeatable(root):
    def content() -> dict:
        return {p: p.read_bytes() for p in root.rglob('*') if p.is_file() and not p.is_symlink()}

    before = content()
    kinetics.check(root, 2)
    after = content()
    assert before.items() <= after.items()
    kinetics.check(root, 1)
    assert content() == after
    assert not list(root.glob('.*'))  # nothing half


def test_labels_are_those_of_the_official_map(samples):
    official = (samples / 'kinetics_mini/label_map_k400.txt').read_text().splitlines()
    assert sorted(official) == official
    places = {line.split('/')[0]: int(line.split()[1]) for line in
              (samples / 'kinetics_mini/list.txt').open()}  # fmt: skip
    assert all(official[label].replace(' ', '_') == name for name, label in places.items())


def test_clips_of_other_classes_and_other_files_are_reported(root, clip):
    shutil.move(root / 'videos_val' / name(VAL[0]), root / 'videos_val/air_drumming')
    shutil.copy(clip, root / 'videos_val/air_drumming/other.mp4')
    (part,) = (part for part in kinetics.check(root, 2) if part.name == 'videos_val')
    assert {kind: f.examples for kind, f in part.warnings.items()} == {
        'in the folder of another class than in the CSV file': [
            'air_drumming/val00000001_000005_000015.mp4: abseiling'
        ],
        'not in the CSV file': ['air_drumming/other.mp4'],
    }


def test_a_test_set_may_have_no_labels(root, clip):
    write_csv(root / 'annotations/test.csv', [('t0000000001', 1, 11)], COLUMNS[1:4])
    (root / 'videos_test').mkdir()
    shutil.copy(clip, root / 'videos_test/t0000000001_000001_000011.mp4')
    kinetics.check(root, 2)
    assert lines(root, 'kinetics4_test_list_videos.txt') == ['t0000000001_000001_000011.mp4']


@pytest.mark.parametrize(
    'rows, columns, message',
    [
        ([('yoga', 'a', 'x', 10)], COLUMNS, r'train.csv, line 2: times are not numbers'),
        ([('yoga', '', 0, 10)], COLUMNS, r'train.csv, line 2: youtube_id is empty'),
        ([('yoga', 'a')], COLUMNS[:2], r"lacks the columns \['time_start', 'time_end'\]"),
    ],
)
def test_another_csv_file_is_an_error(root, rows, columns, message):
    write_csv(root / 'annotations/train.csv', rows, columns)
    with pytest.raises(ConfigError, match=message):
        kinetics.check(root, 1)


def test_a_missing_ffmpeg_is_reported(root, monkeypatch):
    monkeypatch.setenv('PATH', str(root))
    result = tool('prepare_data', 'kinetics', '--root', root, '--resize', 256)
    assert result.returncode == 2
    assert len(lines(root, 'kinetics4_train_list_videos.txt')) == 4  # the check is done
    assert result.stderr.splitlines()[-1].startswith('error: --resize=256 needs the program ffmpeg')


FAKE = """#!/bin/sh
for last; do :; done
case "$last" in *drum*) echo "no such codec" >&2; exit 1;; esac
printf '%s\\n' "$@" >> "$0.log"
cp "$FAKE_CLIP" "$last"
"""


def test_ffmpeg_copies_next_to_the_originals_without_a_shell(root, clip, monkeypatch):
    program = root.parent / 'ffmpeg'
    program.write_text(FAKE)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv('PATH', f'{program.parent}{os.pathsep}{os.environ["PATH"]}')
    monkeypatch.setenv('FAKE_CLIP', str(clip))
    kinetics.check(root, 2)
    train, val = kinetics.resize_videos(root, 256, 2)
    assert (train.found, train.expected, val.found, val.expected) == (3, 4, 1, 2)
    (finding,) = train.faults.values()
    assert finding.examples == ['air_drumming/drum0000001_000027_000037.mp4: no such codec']
    copies = {
        str(p.relative_to(root / 'videos_train_256')) for p in root.rglob('videos_train_256/*/*')
    }
    listed = {line.split()[0] for line in lines(root, 'kinetics4_train_list_videos.txt')}
    assert copies == listed - {'air_drumming/drum0000001_000027_000037.mp4'}
    calls = (root.parent / 'ffmpeg.log').read_text()
    assert str(root / "videos_train/massaging_person's_head/head0000001_000100_000110.mp4") in calls


@pytest.mark.skipif(not shutil.which('ffmpeg'), reason='no ffmpeg on PATH')
def test_ffmpeg_makes_the_short_side(tmp_path):
    import av

    write_clip(tmp_path / 'in/tall.mp4', size=(640, 480))
    write_clip(tmp_path / 'in/small.mp4', size=(96, 128))
    part = kinetics.ReportRow('copies', 'videos')
    videos.resize(part, tmp_path / 'in', ['tall.mp4', 'small.mp4'], tmp_path / 'out', 256, 1)
    sizes = {}
    for file in ('tall', 'small'):
        with av.open(str(tmp_path / f'out/{file}.mp4')) as container:
            sizes[file] = (container.streams.video[0].height, container.streams.video[0].width)
    assert sizes == dict(tall=(342, 256), small=(96, 128))
