"""The generated video dataset: the motion in its files, and that no single frame shows it."""

from __future__ import annotations

import filecmp
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from commands import ROOT
from mmengine.config import Config

from swinv2_dense.quickstart import motions, shapes
from swinv2_dense.quickstart.clip_panel import draw_clips, draw_confusion
from swinv2_dense.quickstart.motions import CLASSES, MotionsSpec

SPEC = MotionsSpec(seed=3, train=18, val=6)


@pytest.fixture(scope='module')
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('data') / 'motions'
    assert motions.write_dataset(root, SPEC)
    return root


def files(root: Path) -> list[Path]:
    return sorted(path.relative_to(root) for path in root.rglob('*') if path.is_file())


def plain(clip: motions.Clip) -> motions.Clip:
    """A clip of a white shape on black."""
    white, black = (shapes.Texture('stripes', np.full((2, 3), v), 0.0, 5.0) for v in (255.0, 0.0))
    return replace(clip, texture=white, background=black)


def weights(frames: np.ndarray) -> np.ndarray:
    """(T, H, W) coverage of the white shape, 0 to 1, in frames of a plain clip."""
    return np.clip((frames.astype(float).mean(axis=-1) - 40) / 175, 0, 1)


def moments(shape: np.ndarray) -> tuple[float, float, float, float]:
    """Center x and y in cycles, rotation in half turns, and log radius, from the pixels.

    Moments on a picture that wraps around: the center is an angle, and the rotation is that of the
    longest axis.
    """
    size = len(shape)
    angle = 2 * np.pi * np.arange(size) / size
    x, y = (
        np.angle((shape.sum(axis=k) * np.exp(1j * angle)).sum()) / (2 * np.pi) % 1 for k in (0, 1)
    )
    dx, dy = ((np.arange(size) - size * c + size / 2) % size - size / 2 for c in (x, y))
    z = dx[None] + 1j * dy[:, None]
    return x, y, np.angle((shape * z**2).sum()) / (2 * np.pi), np.log(shape.sum()) / 2


def steps(values: np.ndarray, period: float) -> np.ndarray:
    """Differences of neighbors, modulo the period."""
    return (np.diff(values) + period / 2) % period - period / 2


def motion(shape: np.ndarray) -> str:
    """The class of a clip, from the pixels of its shape (T, H, W)."""
    x, y, turn, radius = np.array([moments(s) for s in shape]).T
    jumps = np.abs(np.diff(radius)) > 0.4  # where the largest becomes the smallest
    whole = np.log(motions.RADII[1] / motions.RADII[0])
    rates = {  # in cycles of the phase per frame
        ('right', 'left'): steps(x, 1).mean(),
        ('down', 'up'): steps(y, 1).mean(),
        ('growing', 'shrinking'): np.diff(radius)[~jumps].mean() / whole,
        ('clockwise', 'counter-clockwise'): steps(turn, 1).mean(),  # never
    }
    # The slowest moves by 0.35 cycles in 15 steps.
    moving = {pair: rate for pair, rate in rates.items() if abs(rate) > 0.01}
    assert len(moving) == 1, rates
    ((pair, rate),) = moving.items()
    return pair[int(rate < 0)]


@pytest.mark.parametrize('index', range(24))
def test_the_motion_in_a_file_is_its_class(tmp_path: Path, index: int) -> None:
    clip = motions.clip_of(SPEC, 'train', index)
    motions.write_clip(tmp_path / 'a.mp4', motions.draw_clip(plain(clip), SPEC.size, SPEC.frames))
    frames = motions.read_video(tmp_path / 'a.mp4')
    assert frames.shape == (SPEC.frames, SPEC.size, SPEC.size, 3)
    shape = weights(frames)
    assert motion(shape) == CLASSES[clip.category]
    assert motion(shape[::-1]) == CLASSES[clip.category ^ 1]


def test_files_hold_the_clips_of_their_lists(dataset: Path) -> None:
    assert len(files(dataset)) == SPEC.train + SPEC.val + 4
    for split in ('train', 'val'):
        lines = (dataset / f'motions_{split}_list_videos.txt').read_text().splitlines()
        assert len(lines) == getattr(SPEC, split)
        for index, line in enumerate(lines):
            name, label = line.split()
            clip = motions.clip_of(SPEC, split, index)
            assert int(label) == clip.category
            drawn = motions.draw_clip(clip, SPEC.size, SPEC.frames)
            seen = motions.read_video(dataset / f'videos_{split}' / name)
            gray = [
                [cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in x] for x in (drawn[..., ::-1], seen)
            ]
            loss = np.abs(np.subtract(*np.array(gray, float))).mean(axis=(1, 2))
            assert loss.max() < 6, f'{split}/{name}'


def test_they_are_h264(dataset: Path) -> None:
    with av.open(str(dataset / 'videos_val' / '000000.mp4')) as container:
        assert container.streams.video[0].codec_context.name == 'h264'


def test_equal_specs_give_equal_files(dataset: Path, tmp_path: Path) -> None:
    motions.write_dataset(tmp_path / 'again', SPEC)
    assert files(dataset) == files(tmp_path / 'again')
    for name in files(dataset):
        assert filecmp.cmp(dataset / name, tmp_path / 'again' / name, shallow=False), name
    clips = [motions.clip_of(SPEC, 'train', 0), motions.clip_of(SPEC, 'train', 6)]
    clips += [motions.clip_of(SPEC, 'val', 0), motions.clip_of(replace(SPEC, seed=4), 'train', 0)]
    assert len({clip.start for clip in clips}) == 4


def single_frames(count: int, time: int) -> tuple[np.ndarray, np.ndarray]:
    """Features (count, 7) of one frame of each clip, from its pixels, and the clips' classes.

    Place and turn on circles, and size.
    """
    rows, labels = [], []
    for index in range(count):
        clip = plain(motions.clip_of(SPEC, 'train', index))
        frame = motions.draw_clip(clip, 32, 2)[time]
        x, y, turn, radius = moments(weights(frame))
        circles = 2 * np.pi * np.array([x, y, turn])
        rows.append([*np.cos(circles), *np.sin(circles), 3 * radius])
        labels.append(clip.category)
    return np.array(rows), np.array(labels)


@pytest.mark.parametrize('time', [0, -1])
def test_no_single_frame_shows_the_class(time: int) -> None:
    """Nearest neighbors predict class, pair and direction no better than chance.

    Without wrap-around, the last frame of a shape that moved right would be right of the first.
    """
    features, labels = single_frames(1200, time)
    distance = np.linalg.norm(features[:, None] - features[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    found = labels[np.argsort(distance, axis=1)[:, :15]]
    votes = np.stack([(found == k).sum(axis=1) for k in range(len(CLASSES))], axis=1)
    own = votes[np.arange(len(labels)), labels]
    other = votes[np.arange(len(labels)), labels ^ 1]
    chance = 1 / len(CLASSES)
    error = np.sqrt(chance * (1 - chance) / len(labels))
    assert abs((votes.argmax(axis=1) == labels).mean() - chance) < 4 * error
    known = own != other
    assert abs((own > other)[known].mean() - 1 / 2) < 4 * np.sqrt(0.25 / known.sum())


def test_nothing_else_depends_on_the_class() -> None:
    clips = [motions.clip_of(SPEC, 'train', k) for k in range(1600)]
    for value in (
        *(lambda c, k=k: c.start[k] for k in range(4)),
        lambda c: c.travel,
        lambda c: list(motions.OUTLINES).index(c.outline),
        lambda c: c.texture.colors.mean(),
        lambda c: c.background.colors.mean(),
    ):
        everyone = np.array([value(clip) for clip in clips], float)
        for category in range(len(CLASSES)):
            mine = everyone[category :: len(CLASSES)]
            assert abs(mine.mean() - everyone.mean()) < 4 * everyone.std() / np.sqrt(len(mine))


def test_reuse_and_refusal(dataset: Path, tmp_path: Path) -> None:
    before = {name: (dataset / name).stat().st_mtime_ns for name in files(dataset)}
    assert not motions.write_dataset(dataset, SPEC)
    with pytest.raises(ValueError, match=r'seed is 3 there, 4 here.*Delete'):
        motions.write_dataset(dataset, replace(SPEC, seed=4))
    assert before == {name: (dataset / name).stat().st_mtime_ns for name in files(dataset)}
    (tmp_path / 'notes.txt').write_text('mine')
    with pytest.raises(ValueError, match=r'spec.json is missing. Delete'):
        motions.write_dataset(tmp_path, SPEC)
    assert [path.name for path in tmp_path.iterdir()] == ['notes.txt']


def test_incomplete_folders_are_refused(tmp_path: Path) -> None:
    spec = replace(SPEC, train=2, val=2)
    motions.write_dataset(tmp_path / 'set', spec)
    (tmp_path / 'set' / 'videos_val' / '000001.mp4').unlink()
    with pytest.raises(ValueError, match=r'videos_val: 1 of 2 clips.*Delete'):
        motions.write_dataset(tmp_path / 'set', spec)


def test_interruptions_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(av, 'open', interrupt)
    with pytest.raises(KeyboardInterrupt):
        motions.write_dataset(tmp_path / 'motions', SPEC)
    assert list(tmp_path.iterdir()) == []


def test_the_config_agrees_with_the_generator() -> None:
    """Classes, frames and folders, and no step that turns a motion into another."""
    (path,) = ROOT.glob('configs/quickstart/swinv2*_motions-rgb.py')
    cfg = Config.fromfile(path)
    assert cfg.model.cls_head.num_classes == len(CLASSES)
    spec = MotionsSpec()
    for split, loader in (('train', cfg.train_dataloader), ('val', cfg.test_dataloader)):
        assert loader.dataset.ann_file == motions.list_file(Path(), split).name
        assert tuple(loader.dataset.metainfo.classes) == CLASSES
        assert loader.dataset.data_prefix.video == motions.video_folder(Path(), split).name
        steps = {step.type: step for step in loader.dataset.pipeline}
        sample = steps['SampleFrames']
        assert sample.clip_len * sample.frame_interval == spec.frames
        assert not {'Flip', 'RandomResizedCrop'} & set(steps)


def test_frames_change_their_order_and_nothing_else() -> None:
    frame_order = pytest.importorskip('swinv2_dense.quickstart.frame_order')
    frames = [np.full((2, 2, 3), k) for k in range(12)]  # three clips of four
    results = dict(imgs=list(frames), clip_len=4)

    def order(step: object) -> list[int]:
        return [int(frame[0, 0, 0]) for frame in step(dict(results))['imgs']]

    assert order(frame_order.ReverseFrames()) == [3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8]
    np.random.seed(0)
    shuffled = np.array([order(frame_order.ShuffleFrames()) for _ in range(2000)])
    assert (np.sort(shuffled.reshape(-1, 4)) % 4 == np.arange(4)).all(), 'a clip keeps its frames'
    first = np.bincount(shuffled[:, 0], minlength=4) / 2000
    assert np.abs(first - 0.25).max() < 4 * np.sqrt(0.25 * 0.75 / 2000)


def test_pairs_are_counted() -> None:
    frame_order = pytest.importorskip('swinv2_dense.quickstart.frame_order')
    import torch

    # truth, prediction: right; the other of the pair, twice; another pair.
    pairs = [(0, 0), (0, 1), (7, 6), (3, 4)]
    samples = [dict(gt_label=torch.tensor([a]), pred_score=torch.eye(8)[b]) for a, b in pairs]
    metric = frame_order.PairMetric()
    metric.process(None, samples)
    assert metric.evaluate(4) == {'pair/right_pair': 0.75, 'pair/swapped': 0.5}


def test_pictures_show_the_clips_and_the_confusion(dataset: Path, tmp_path: Path) -> None:
    labels = np.arange(SPEC.val) % len(CLASSES)
    wrong = np.eye(len(CLASSES))[labels ^ 1]
    draw_clips(dataset, wrong, CLASSES, tmp_path / 'clips.png')
    picture = cv2.imread(str(tmp_path / 'clips.png'))
    # Every row has the color of its clip's background, in the picture's inner columns.
    for index in range(SPEC.val):
        frame = motions.read_video(dataset / 'videos_val' / f'{index:06d}.mp4')[0]
        near = np.abs(picture[..., ::-1].astype(int) - np.median(frame, axis=(0, 1))).max(axis=-1)
        assert (near < 12).sum() > 2000, f'clip {index} is not there'
    panels = {'in order': (labels, np.eye(len(CLASSES))[labels]), 'backwards': (labels, wrong)}
    draw_confusion(panels, CLASSES, tmp_path / 'confusion.png')
    assert cv2.imread(str(tmp_path / 'confusion.png')).std() > 20
