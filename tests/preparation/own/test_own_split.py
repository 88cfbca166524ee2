"""Properties of the split, and which names show that samples belong together."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from format_writers import Scene, Thing, write_coco, write_yolo
from fuzzing import amounts, for_all
from hypothesis import strategies as st

from swinv2_dense.errors import ConfigError
from swinv2_dense.preparation.own.groups import group_of
from swinv2_dense.preparation.own.prepare import Options, prepare
from swinv2_dense.preparation.own.split import split_off

GROUPS = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from('abcde'), st.integers(1, 5), max_size=3), st.integers(1, 4)
    ),
    min_size=2,
    max_size=40,
)


@amounts(50, 2000)
def test_both_parts_have_samples_and_no_class_loses_all_its_training(examples):
    def check(case: tuple) -> None:
        made, share, seed = case
        groups, sizes = [Counter(labels) for labels, _ in made], [size for _, size in made]
        chosen = split_off(groups, sizes, share, seed)
        assert 0 < len(chosen) < len(groups)
        assert chosen == split_off(groups, sizes, share, seed)
        taken, everywhere = Counter(), Counter()
        for index, labels in enumerate(groups):
            everywhere.update(labels.keys())
            taken.update(labels.keys() if index in chosen else ())
        if len(chosen) > 1:
            assert all(taken[name] < count for name, count in everywhere.items())

    for_all(st.tuples(GROUPS, st.floats(0.05, 0.5), st.integers(0, 5)), check, examples)


def test_many_equal_samples_of_two_classes():
    """By hand: 20 of 100 images, 16 of the 80 with a and 4 of the 20 with b."""
    groups = [Counter(a=1)] * 80 + [Counter(b=1)] * 20
    chosen = split_off(groups, [1] * 100, 0.2, 0)
    assert Counter(index >= 80 for index in chosen) == {False: 16, True: 4}
    assert chosen != split_off(groups, [1] * 100, 0.2, 1)


def test_shares_of_rare_classes_are_closer_than_by_chance():
    """Of a long tail: the worst share of a class with 10 objects and more, 20 % wanted."""
    rng = np.random.default_rng(0)
    names = 'abcdefghij'
    odds = np.array([0.9 / 1.6**i for i in range(10)])
    groups = [
        Counter({n: int(rng.integers(1, 4)) for n in np.array(list(names))[rng.random(10) < odds]})
        for _ in range(300)
    ]
    totals = sum(groups, Counter())

    def worst(chosen: set[int]) -> float:
        taken = sum((groups[index] for index in chosen), Counter())
        return max(abs(taken[n] / totals[n] - 0.2) for n in names if totals[n] >= 10)

    by_chance = [worst(set(rng.permutation(300)[:60].tolist())) for _ in range(100)]
    found = worst(split_off(groups, [1] * 300, 0.2, 0))
    assert found < 0.05 < min(by_chance) + 0.02
    assert found < np.quantile(by_chance, 0.05)


def test_many_classes_with_two_samples_each():
    groups = [Counter({i // 2: 1}) for i in range(100)]
    chosen = split_off(groups, [1] * 100, 0.2, 0)
    assert len(chosen) == 20
    assert max(Counter(index // 2 for index in chosen).values()) == 1


@pytest.mark.parametrize(
    ('names', 'are_together'),
    [
        (('cat_jpg.rf.0a1B2c.jpg', 'cat_jpg.rf.ffff.jpg'), True),
        (('v_mp4-0001_jpg.rf.0a1b.jpg', 'v_mp4-0002_jpg.rf.ffff.jpg'), True),
        (('clip.mp4_000001.jpg', 'clip.mp4_000250.png'), True),
        (('day1_frame_0001.jpg', 'day1_frame_0002.jpg'), True),
        (('day1/frame_0001.jpg', 'day1/frame_0002.jpg'), True),
        (('field_tile_0_512.png', 'field_tile_512_512.png'), True),
        (('field_x0_y512.png', 'field_x512_y512.png'), True),
        (('P0001__1__0___0.png', 'P0001__1__824___0.png'), True),
        (('v_Wave_g01_c01.avi', 'v_Wave_g01_c07.avi'), True),
        (('zkXOcxGnUhs_000025_000035.mp4', 'zkXOcxGnUhs_000125_000135.mp4'), True),
        (('cat.jpg', 'cat_aug1.jpg'), True),
        (('day1/frame_0001.jpg', 'day2/frame_0001.jpg'), False),
        (('a/cat_jpg.rf.0a1B2c.jpg', 'b/cat_jpg.rf.ffff.jpg'), False),
        (('IMG_0001.jpg', 'IMG_0002.jpg'), False),
        (('000000000009.jpg', '000000000025.jpg'), False),
        (('2023-11-05.jpg', '2023-11-06.jpg'), False),
        (('dog1.jpg', 'dog2.jpg'), False),
    ],
)
def test_names_of_groups(names, are_together):
    first, second = map(group_of, names)
    assert (first == second) is are_together


def test_groups_and_copies_stay_together(tmp_path):
    cat = Thing('cat', (1.0, 2.0, 20.0, 15.0))
    names = [f'v{video}_frame_{i}.jpg' for video in range(5) for i in range(4)]
    write_coco(tmp_path, [Scene(name, 40, 30, (cat,)) for name in names])
    folder = tmp_path / 'images'
    (folder / 'v4_frame_3.jpg').write_bytes((folder / 'v0_frame_0.jpg').read_bytes())
    for seed in range(4):
        prepared = prepare(tmp_path, Options(seed=seed))
        videos = [{s.path.name[:2] for s in part} for part in prepared.splits.values()]
        assert not videos[0] & videos[1]
    assert 'groups by file name kept together' in '\n'.join(prepared.report)
    copies = [
        s.path.name
        for s in prepared.splits['val']
        if s.path.name in ('v0_frame_0.jpg', 'v4_frame_3.jpg')
    ]
    assert len(copies) in (0, 2)


def test_one_video_cannot_be_split(tmp_path):
    cat = Thing('cat', (1.0, 2.0, 20.0, 15.0))
    write_yolo(tmp_path, [Scene(f'frame_{i}.jpg', 40, 30, (cat,)) for i in range(6)])
    with pytest.raises(ConfigError, match='all 6 samples belong together, .*--ignore-groups'):
        prepare(tmp_path, Options())
    prepared = prepare(tmp_path, Options(keeps_groups=False, val_share=0.5))
    assert [len(part) for part in prepared.splits.values()] == [3, 3]


def test_a_test_split_is_kept_apart(tmp_path):
    cat = Thing('cat', (1.0, 2.0, 20.0, 15.0))
    splits = ('train', 'train', 'train', 'test')
    write_coco(
        tmp_path, [Scene(f'{i}.jpg', 40, 30, (cat,), split) for i, split in enumerate(splits)]
    )
    found = prepare(tmp_path, Options()).splits
    assert {split: len(part) for split, part in found.items()} == dict(train=2, val=1, test=1)
    for path in (tmp_path / 'annotations').glob('tr*'):
        path.rename(Path(path.parent / 'val.json'))
    with pytest.raises(ConfigError, match='val 3, test 1, but no samples for training'):
        prepare(tmp_path, Options())


def test_a_single_folder_named_test_is_split(tmp_path):
    cat = Thing('cat', (1.0, 2.0, 20.0, 15.0))
    write_coco(tmp_path, [Scene(f'{i}.jpg', 40, 30, (cat,), 'test') for i in range(5)])
    prepared = prepare(tmp_path, Options())
    assert {split: len(part) for split, part in prepared.splits.items()} == dict(train=4, val=1)
    assert 'all samples lie in a folder or file named test, so they are split' in prepared.report
