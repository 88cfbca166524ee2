"""A small video data set without a download: clips of a textured shape that moves.

The class is the motion, and no single frame shows it. A shape's state is four phases: x, y, size
and turn. All start anywhere, and a class moves one of the first three, up or down. Phases wrap
around: what leaves the picture comes in at the other side, and after the largest size comes the
smallest. So in every single frame all states are equally likely, whatever the class. A clip played
backwards belongs to the other class of its pair.

Turning is not a class. Opposite sides of a turning shape move in opposite directions, so the
average over the shape, which shows a shift or a growth, says nothing. The model has to relate
motions to places on the shape. It learns that late, at an iteration that depends on rounding, and a
short training may end before.

Lengths and positions are in pixels, x to the right and y down; colours are BGR, OpenCV's order.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from . import shapes
from .folders import check_parameters, is_filled, write_whole
from .shapes import Texture
from .tasks import MotionsSpec

# Pairs that move the same phase, the first one up: class k ^ 1 is the other one of its pair.
CLASSES = ('right', 'left', 'down', 'up', 'growing', 'shrinking')


def _arms(lengths: Sequence[float], half: float) -> list[tuple[float, float]]:
    """Corners of bars of a half width around a hub, evenly spread, the first to the right."""
    corners: list[tuple[float, float]] = []
    step = 2 * math.pi / len(lengths)
    for k, length in enumerate(lengths):
        cos, sin = math.cos(k * step), math.sin(k * step)
        for side in (-half, half):
            corners.append((length * cos - side * sin, length * sin + side * cos))
        if len(lengths) > 2:  # where two bars meet
            notch, middle = half / math.sin(step / 2), (k + 0.5) * step
            corners.append((notch * math.cos(middle), notch * math.sin(middle)))
    return corners


# Polygons in a unit circle around their centers of mass.
OUTLINES = {
    'bar': _arms((0.95, 0.95), 0.16),
    'beam': _arms((0.92, 0.92), 0.26),
    'cross': _arms((0.95, 0.6, 0.95, 0.6), 0.17),
    'star': _arms((0.95, 0.6, 0.6, 0.95, 0.6, 0.6), 0.13),
}
RADII = (0.28, 0.46)  # smallest and largest, by the size of the picture
TRAVEL = (0.35, 0.6)  # of a phase in a clip
# Base levels of shapes and of backgrounds. Motion is learnt sooner where edges keep their sign.
LIGHT, DARK = (150, 235), (20, 90)
# Equal frames must give equal bytes: with more threads, or with its macroblock tree on frames as
# small as these, x264 does not promise it (seen with core 165: four files from one clip).
ENCODING = {'crf': '18', 'threads': '1', 'x264-params': 'mbtree=0'}
SPLITS = ('train', 'val')
VERSION = 3  # of the files: part of a data set's parameters, so raise it when they change
SPEC_FILE = 'spec.json'


@dataclass(frozen=True)
class Clip:
    """A moving shape: `start` holds its phases in the first frame, from 0 to 1 each.

    `category` is an index into CLASSES, `outline` a key of OUTLINES; `travel` is how far the phase
    of the class moves in the clip, before its gear.
    """

    category: int
    outline: str
    start: tuple[float, float, float, float]
    travel: float
    texture: Texture
    background: Texture


def clip_of(spec: MotionsSpec, split: str, index: int) -> Clip:
    """The clip at a place in a data set; it depends on nothing but its arguments."""
    rng = np.random.default_rng([spec.seed, SPLITS.index(split), index])
    outline = list(OUTLINES)[rng.integers(len(OUTLINES))]
    start, travel = tuple(rng.uniform(0, 1, 4)), rng.uniform(*TRAVEL)
    texture, background = _texture(rng, *LIGHT), _texture(rng, *DARK)
    return Clip(index % len(CLASSES), outline, start, travel, texture, background)


def _texture(rng: np.random.Generator, low: float, high: float) -> Texture:
    """A random texture with a base colour between two levels."""
    base = rng.uniform(low, high, 3)
    colors = np.stack([base, base + rng.uniform(-50, 50, 3)])
    kind = shapes.TEXTURES[rng.integers(len(shapes.TEXTURES))]
    return Texture(kind, colors, rng.uniform(0, math.pi), rng.uniform(4, 12))


def state_at(clip: Clip, time: float, size: int) -> tuple[tuple[float, float], float, float]:
    """Centre, radius and clockwise turn in radians at a time from 0 to 1 of the clip."""
    phases = np.array(clip.start)
    moving, sign = clip.category // 2, -1 if clip.category % 2 else 1
    phases[moving] += sign * clip.travel * time
    x, y, growth, turn = phases % 1
    radius = size * RADII[0] * (RADII[1] / RADII[0]) ** growth
    return (size * x, size * y), radius, 2 * math.pi * turn


def _paint(image: np.ndarray, clip: Clip, time: float) -> None:
    """Paint the shape into a square picture whose opposite sides are one.

    The texture is fixed to the shape; its period is for a radius of a fifth of the picture.
    """
    size, outline = len(image), [np.array(OUTLINES[clip.outline])]
    center, radius, turn = state_at(clip, time, size)
    mask = np.zeros((size, size), bool)
    for dx, dy in itertools.product((-size, 0, size), repeat=2):
        copy = center[0] + dx, center[1] + dy
        mask |= shapes.outline_mask(outline, copy, radius, turn, size)
    y, x = np.nonzero(mask)
    dx, dy = ((p - c + size / 2) % size - size / 2 for p, c in zip((x, y), center))
    cos, sin = (f(turn) * size / 5 / radius for f in (math.cos, math.sin))
    image[mask] = shapes.shade(clip.texture, cos * dx + sin * dy, cos * dy - sin * dx)


def draw_clip(clip: Clip, size: int, frames: int) -> np.ndarray:
    """The (T, H, W, 3) uint8 frames of a clip."""
    y, x = np.mgrid[:size, :size].astype(float)
    images = np.repeat(shapes.shade(clip.background, x, y)[None], frames, axis=0)
    for image, time in zip(images, np.linspace(0, 1, frames)):
        _paint(image, clip, time)
    return np.clip(np.round(images), 0, 255).astype(np.uint8)


def write_video(file: Path, frames: Iterable[np.ndarray]) -> None:
    """Write (H, W, 3) uint8 BGR frames of even height and width as h264 in mp4, 25 a second."""
    frames = list(frames)
    with av.open(str(file), 'w') as container:
        stream = container.add_stream('libx264', rate=25, options=ENCODING)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = 'yuv420p'
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format='bgr24')))
        container.mux(stream.encode())


def read_video(file: Path) -> np.ndarray:
    """The (T, H, W, 3) uint8 RGB frames of a video."""
    with av.open(str(file)) as container:
        return np.stack([frame.to_ndarray(format='rgb24') for frame in container.decode(video=0)])


def list_file(root: Path, split: str) -> Path:
    """Where a split's list in mmaction2's format lies: a file name and a class index per line."""
    return root / f'motions_{split}_list_videos.txt'


def video_folder(root: Path, split: str) -> Path:
    """Where a split's clips lie."""
    return root / f'videos_{split}'


def _info(spec: MotionsSpec) -> dict[str, Any]:
    return dict(description='moving shapes', version=VERSION, **asdict(spec))


def _write_split(root: Path, spec: MotionsSpec, split: str) -> None:
    folder, lines = video_folder(root, split), []
    folder.mkdir()
    for index in range(getattr(spec, split)):
        clip, name = clip_of(spec, split, index), f'{index:06d}.mp4'
        write_video(folder / name, draw_clip(clip, spec.size, spec.frames))
        lines.append(f'{name} {clip.category}\n')
    list_file(root, split).write_text(''.join(lines))


def check_dataset(root: Path, spec: MotionsSpec) -> None:
    """Raise ValueError unless `root` holds the complete data set of `spec`."""
    remedy = f'Delete {root} to have it made again, or name another folder.'
    file, wanted = root / SPEC_FILE, _info(spec)
    if not file.is_file():
        raise ValueError(f'{root}: not a motions data set, {file} is missing. {remedy}')
    check_parameters(file, json.loads(file.read_text()), wanted, remedy)
    for split in SPLITS:
        folder = video_folder(root, split)
        count = len(list(folder.glob('*.mp4')))
        if count != wanted[split] or not list_file(root, split).is_file():
            raise ValueError(
                f'{folder}: {count} of {wanted[split]} clips, or no list of them. {remedy}'
            )


def write_dataset(root: Path | str, spec: MotionsSpec | None = None) -> bool:
    """Write the data set of `spec` to `root`; True if it was written, False if it was there.

    videos_{train,val}/, a list file for each and classes.txt: Kinetics' layout (data/README.md).
    """
    root, spec = Path(root), spec or MotionsSpec()
    if is_filled(root):
        check_dataset(root, spec)
        return False

    def write(draft: Path) -> None:
        for split in SPLITS:
            _write_split(draft, spec, split)
        (draft / 'classes.txt').write_text('\n'.join(CLASSES) + '\n')
        (draft / SPEC_FILE).write_text(json.dumps(_info(spec)))

    write_whole(root, write)
    return True
