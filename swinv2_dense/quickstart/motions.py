"""A small generated video dataset: clips of a textured shape that moves.

The class is the motion, and no single frame shows it. The state of a shape has four phases: x, y,
size and rotation. All start anywhere, and a class moves one of the first three, up or down. Phases
wrap around: a shape that leaves the picture enters on the other side, and the largest size is
followed by the smallest. So in any single frame all states are equally likely, whatever the class.
A clip played backwards belongs to the other class of its pair.

Rotation is not a class. Opposite sides of a rotating shape move in opposite directions, so the
average over the shape, which shows translation or growth, is zero. The model would have to relate
motions to positions on the shape, which it learns late, at an iteration that depends on rounding:
often after the end of a short training.

Lengths and positions are in pixels, x to the right and y down; colors are BGR, as in OpenCV.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from ..drawing.video import write_video
from . import shapes
from .folders import check_parameters, is_filled, write_whole
from .goals import MotionsSpec
from .shapes import Texture

# Pairs that move the same phase up and down: class k ^ 1 is the other one of the pair of k.
CLASSES = ('right', 'left', 'down', 'up', 'growing', 'shrinking')


def _arms(lengths: Sequence[float], half: float) -> list[tuple[float, float]]:
    """Corners of evenly spread bars, `2 * half` wide, around a hub; the first points right."""
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
RADII = (0.28, 0.46)  # smallest and largest, relative to the size of the picture
TRAVEL = (0.35, 0.6)  # of a phase in a clip
# Base levels of shapes and of backgrounds. Motion is learned sooner where edges keep their sign.
LIGHT, DARK = (150, 235), (20, 90)
# Equal frames must give equal bytes. x264 is not deterministic with several threads, nor with its
# macroblock tree on frames this small (core 165 made four different files of one clip).
ENCODING = {'crf': '18', 'threads': '1', 'x264-params': 'mbtree=0'}
SPLITS = ('train', 'val')
VERSION = 3  # of the files, one of a dataset's parameters: increase it when the files change
SPEC_FILE = 'spec.json'


@dataclass(frozen=True)
class Clip:
    """A moving shape: `start` holds its phases in the first frame, from 0 to 1 each.

    `category` is an index into CLASSES, `outline` a key of OUTLINES; `travel` is how far the phase
    of the class moves during the clip.
    """

    category: int
    outline: str
    start: tuple[float, float, float, float]
    travel: float
    texture: Texture
    background: Texture


def clip_of(spec: MotionsSpec, split: str, index: int) -> Clip:
    """The clip at an index of a dataset; it depends on the arguments only."""
    rng = np.random.default_rng([spec.seed, SPLITS.index(split), index])
    outline = list(OUTLINES)[rng.integers(len(OUTLINES))]
    start, travel = tuple(rng.uniform(0, 1, 4)), rng.uniform(*TRAVEL)
    texture, background = _texture(rng, *LIGHT), _texture(rng, *DARK)
    return Clip(index % len(CLASSES), outline, start, travel, texture, background)


def _texture(rng: np.random.Generator, low: float, high: float) -> Texture:
    """A random texture with a base color between two levels."""
    base = rng.uniform(low, high, 3)
    colors = np.stack([base, base + rng.uniform(-50, 50, 3)])
    kind = shapes.TEXTURES[rng.integers(len(shapes.TEXTURES))]
    return Texture(kind, colors, rng.uniform(0, math.pi), rng.uniform(4, 12))


def state_at(clip: Clip, time: float, size: int) -> tuple[tuple[float, float], float, float]:
    """Center, radius and clockwise rotation in radians at a time from 0 to 1 of the clip."""
    phases = np.array(clip.start)
    moving, sign = clip.category // 2, -1 if clip.category % 2 else 1
    phases[moving] += sign * clip.travel * time
    x, y, growth, turn = phases % 1
    radius = size * RADII[0] * (RADII[1] / RADII[0]) ** growth
    return (size * x, size * y), radius, 2 * math.pi * turn


def _paint(image: np.ndarray, clip: Clip, time: float) -> None:
    """Paint the shape into a square picture that wraps around at its borders.

    The texture is fixed to the shape; its period applies at a radius of a fifth of the picture.
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


def write_clip(file: Path, frames: np.ndarray) -> None:
    """Write BGR frames (T, H, W, 3) uint8 of even height and width; equal frames, equal files."""
    write_video(file, frames, options=ENCODING, channels='bgr24')


def read_video(file: Path) -> np.ndarray:
    """The (T, H, W, 3) uint8 RGB frames of a video."""
    with av.open(str(file)) as container:
        return np.stack([frame.to_ndarray(format='rgb24') for frame in container.decode(video=0)])


def list_file(root: Path, split: str) -> Path:
    """The list of a split in mmaction2's format: a file name and a class index per line."""
    return root / f'motions_{split}_list_videos.txt'


def video_folder(root: Path, split: str) -> Path:
    """The folder with the clips of a split."""
    return root / f'videos_{split}'


def _info(spec: MotionsSpec) -> dict[str, Any]:
    return dict(description='moving shapes', version=VERSION, **asdict(spec))


def _write_split(root: Path, spec: MotionsSpec, split: str) -> None:
    folder, lines = video_folder(root, split), []
    folder.mkdir()
    for index in range(getattr(spec, split)):
        clip, name = clip_of(spec, split, index), f'{index:06d}.mp4'
        write_clip(folder / name, draw_clip(clip, spec.size, spec.frames))
        lines.append(f'{name} {clip.category}\n')
    list_file(root, split).write_text(''.join(lines))


def check_dataset(root: Path, spec: MotionsSpec) -> None:
    """Raise ValueError unless `root` holds the complete dataset of `spec`."""
    remedy = f'Delete {root} to generate it again, or choose another folder.'
    file, wanted = root / SPEC_FILE, _info(spec)
    if not file.is_file():
        raise ValueError(f'{root}: not a motions dataset, {file} is missing. {remedy}')
    check_parameters(file, json.loads(file.read_text()), wanted, remedy)
    for split in SPLITS:
        folder = video_folder(root, split)
        count = len(list(folder.glob('*.mp4')))
        if count != wanted[split] or not list_file(root, split).is_file():
            raise ValueError(
                f'{folder}: {count} of {wanted[split]} clips, or their list is missing. {remedy}'
            )


def write_dataset(root: Path | str, spec: MotionsSpec | None = None) -> bool:
    """Write the dataset of `spec` to `root`; False if it exists already.

    videos_{train,val}/, a list file for each and classes.txt: the layout of Kinetics, see
    data/README.md.
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
