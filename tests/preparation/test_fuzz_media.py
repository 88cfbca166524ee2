"""Damaged images, label maps, videos, checkpoints, lists and logs are read or reported."""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from checkpoint_files import KINDS, whole
from clips import write_clip
from commands import ROOT
from fuzzing import amounts, for_all
from hypothesis import strategies as st

from swinv2_dense.checkpoints.reading import read_checkpoint_file
from swinv2_dense.cli.plot_log import main as plot_log
from swinv2_dense.errors import CheckpointError, ConfigError
from swinv2_dense.preparation import kinetics
from swinv2_dense.preparation.images import File, FileError, LabelMapCheck, check_image
from swinv2_dense.resilience.unreadable_samples import GuardedDataset, UnreadableSampleError
from swinv2_dense.seg.check_label_maps import check_label_maps

damages = st.tuples(
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
    st.one_of(st.just(1.0), st.floats(0, 1)),
)


def damaged(content: bytes, damage: tuple[Sequence[tuple[float, int]], float]) -> bytes:
    """Bytes overwritten at some places, and the end cut off."""
    changed = bytearray(content)
    for place, byte in damage[0]:
        changed[int(place * len(changed))] = byte
    return bytes(changed[: round(damage[1] * len(changed))])


class OneImage:
    """As much of a dataset as the guard needs."""

    test_mode = True

    def __init__(self, path: Path) -> None:
        self.info = dict(img_path=str(path))

    def get_data_info(self, _: int) -> dict:
        return self.info

    def prepare_data(self, index: int) -> dict:
        from mmcv.transforms import LoadImageFromFile

        return LoadImageFromFile()(dict(self.get_data_info(index)))


@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
@amounts(80, 5000)
def test_a_damaged_image_is_read_or_reported(tmp_path, suffix, examples):
    """What the check of a dataset lets pass, training reads."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)
    content = cv2.imencode(suffix, pixels)[1].tobytes()
    path = tmp_path / f'some{suffix}'
    guarded = GuardedDataset(OneImage(path), 'train_dataloader')

    def check(damage: tuple) -> None:
        path.write_bytes(damaged(content, damage))
        try:
            size = guarded(0)['img'].shape[1::-1]
        except UnreadableSampleError as error:
            assert str(path) in str(error)
            size = None
        try:
            check_image(path, File(path.name, 40, 24))
        except FileError:
            assert size != (40, 24)
        else:
            assert size == (40, 24)

    for_all(damages, check, examples)


maps = st.tuples(
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.sampled_from(['L', 'P', 'RGB', 'RGBA', 'LA', '1', 'I;16', 'I', 'F']),
    st.lists(st.sampled_from([0, 1, 2, 3, 254, 255, 256, 70000]), min_size=1, max_size=4),
)


@amounts(60, 3000)
def test_label_maps_that_pass_are_loaded_as_labels(tmp_path, examples):
    pytest.importorskip('mmseg')
    from mmengine.registry import DefaultScope
    from mmseg.datasets import BaseSegDataset
    from mmseg.utils import register_all_modules
    from PIL import Image

    for folder in ('images', 'maps'):
        (tmp_path / folder).mkdir()
    cv2.imwrite(str(tmp_path / 'images/a.jpg'), np.zeros((4, 4, 3), np.uint8))

    def check(case: tuple) -> None:
        (height, width), mode, values = case
        path = tmp_path / 'maps/a.png'
        ids = np.resize(values, (height, width))
        kinds = {'I;16': np.uint16, 'I': np.int32, 'F': np.float32}
        image = Image.fromarray(ids.astype(kinds.get(mode, np.uint8)))
        image = image if mode in kinds else image.convert(mode)
        image.save(path, 'TIFF' if mode in 'IF' else 'PNG')
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            dataset = BaseSegDataset(
                metainfo=dict(classes=('a', 'b', 'c')),
                data_root=str(tmp_path),
                serialize_data=False,  # which collects garbage each time
                data_prefix=dict(img_path='images', seg_map_path='maps'),
                pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')],
            )
        try:
            check_label_maps('train_dataloader', dataset, lambda _: None)
        except ConfigError as error:
            assert str(path) in str(error) or 'the 1 label maps contain only' in str(error)
        else:
            loaded = dataset[0]['gt_seg_map']
            assert loaded.shape == (4, 4)
            assert set(np.unique(loaded)) <= {0, 1, 2, 255}
        try:
            LabelMapCheck([0, 1, 2, 255])(path, File('a.png', 4, 4))
        except FileError:
            return
        assert np.array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), ids)

    with DefaultScope.overwrite_default_scope('mmseg'):
        register_all_modules(init_default_scope=False)
        known = [((1, 1), 'L', [0]), ((1, 4), 'L', [0])]  # mmseg drops axes of one pixel
        known += [((4, 4), mode, [0, 1, 2]) for mode in ('L', 'P', 'I;16', 'RGB')]
        for_all(maps, check, examples, known)


@pytest.mark.parametrize('kind', KINDS)
@amounts(80, 10000)
def test_a_damaged_checkpoint_is_read_or_rejected(tmp_path, kind, examples):
    """A zip has checksums, so what is read is what was written."""
    content = whole(kind)
    path = tmp_path / 'some.pth'

    def check(damage: tuple) -> None:
        path.write_bytes(damaged(content, damage))
        try:
            state = read_checkpoint_file(path)
        except CheckpointError as error:
            assert str(path) in str(error) and '\n' not in str(error)
            return
        if kind == 'zip' and isinstance(state, dict) and 'weight' in state:
            assert torch.equal(state['weight'], torch.arange(100.0))

    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for_all(damages, check, examples)


CELLS = st.sampled_from(
    ['', 'a', 'b c', '0', '1.5', '-3', 'nan', 'inf', '1e400', '"', '\0', '../x', '/']
)
ROWS = st.lists(st.lists(CELLS, max_size=6), max_size=4)
HEADER = ['label', 'youtube_id', 'time_start', 'time_end', 'split']


@amounts(60, 4000)
def test_any_csv_file_gives_lists_or_an_error_that_names_it(tmp_path, examples):
    pytest.importorskip('av')
    (tmp_path / 'annotations').mkdir()
    (tmp_path / 'videos_train').mkdir()
    path = tmp_path / 'annotations/train.csv'
    clip = write_clip(tmp_path / 'videos_train/a_0_1.mp4', 3)

    def check(case: tuple[list, bool]) -> None:
        rows, has_header = case
        with path.open('w', newline='') as file:
            csv.writer(file).writerows([HEADER] * has_header + rows)
        try:
            kinetics.check(tmp_path, workers=1)
        except ConfigError as error:
            assert str(tmp_path) in str(error)
            return
        (listed,) = tmp_path.glob('*_train_list_videos.txt')
        for line in listed.read_text().splitlines():
            assert line.split()[0] == clip.name
        for written in tmp_path.glob('kinetics*'):
            written.unlink()

    known = [([['a', 'a', '0', '1', 'train']], True), ([['a', 'a', 'inf', '1', 'train']], True)]
    for_all(st.tuples(ROWS, st.sampled_from([True, True, False])), check, examples, known)


@pytest.mark.parametrize('content', [b'\xff\xfe\0', b'label,youtube_id,time_start,time_end\n\xff'])
def test_a_csv_file_that_is_not_text_is_reported(tmp_path, content):
    (tmp_path / 'annotations').mkdir()
    (tmp_path / 'annotations/train.csv').write_bytes(content)
    with pytest.raises(ConfigError, match='train.csv'):
        kinetics.check(tmp_path, workers=1)


RECORDS = st.one_of(
    st.dictionaries(
        st.sampled_from(['loss', 'step', 'lr', 'time', 'epoch', 'mIoU', 'memory']),
        st.sampled_from([None, True, 1, 2, -1, 0, 0.5, math.nan, math.inf, 'a', [], {}, 10**400]),
    ),
    st.sampled_from([None, 1, [], 'a']),
)


@pytest.mark.filterwarnings('ignore')
@amounts(25, 1500)
def test_any_log_is_drawn_or_reported(tmp_path, examples, capsys):
    path = tmp_path / 'scalars.json'

    def check(case: tuple[list, float]) -> None:
        records, kept = case
        records = [dict(loss=1.0, step=1), *records]
        text = ''.join(f'{json.dumps(record)}\n' for record in records)
        path.write_text(text[: round(kept * len(text))])
        out = tmp_path / 'curves.png'
        out.unlink(missing_ok=True)
        try:
            plot_log([str(path), '--out', str(out)])
        except ConfigError as error:
            assert str(path) in str(error)
        else:
            assert np.ptp(cv2.imread(str(out))) > 0  # readable, and something is drawn

    kept = st.sampled_from([1.0, 1.0, 0.7])
    known = [
        ([dict(loss=1, step='a')], 1.0),
        ([dict(loss='a', step=1)], 1.0),
        ([dict(loss=1, step=1, time='a')], 1.0),
        ([dict(loss=1, step=[])], 1.0),
        ([dict(mIoU='a', step=1)], 1.0),
    ]
    for_all(st.tuples(st.lists(RECORDS, max_size=5), kept), check, examples, known)


DECODING = """
import random, sys
from pathlib import Path
import swinv2_dense
from mmaction.datasets.transforms import SampleFrames
from swinv2_dense.video.decoding import VideoDecode, VideoInit

path, decoder, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
content, damaged = path.read_bytes(), path.with_name('damaged.mp4')
steps = [VideoInit(decoder), SampleFrames(4, frame_interval=2), VideoDecode()]
results = dict(read=0, refused=0)
rng = random.Random(0)
for _ in range(count):
    changed = bytearray(content)
    for _ in range(rng.choice([0, 1, 8, 40])):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    damaged.write_bytes(changed[: rng.choice([len(changed), rng.randrange(len(changed))])])
    sample = dict(filename=str(damaged), start_index=0, modality='RGB')
    try:
        for step in steps:
            sample = step(sample)
    except ValueError as error:
        assert str(damaged) in str(error), error
        results['refused'] += 1
    else:
        assert len(sample['imgs']) == 4 and len({i.shape for i in sample['imgs']}) == 1
        results['read'] += 1
print(results)
assert all(results.values())
"""


@pytest.mark.parametrize('decoder', ['pyav', 'opencv'])
@amounts(50, 10000)
def test_a_damaged_video_is_decoded_or_reported(tmp_path, decoder, examples):
    """In a process of its own. decord 0.6.0 is not among them: such files can end its process."""
    pytest.importorskip('mmaction')
    pytest.importorskip('av')
    clip = write_clip(tmp_path / 'a.mp4', 20)
    result = subprocess.run(
        [sys.executable, '-c', DECODING, str(clip), decoder, str(examples)],
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=3000,
    )
    assert result.returncode == 0, (result.stdout + result.stderr)[-2000:]
