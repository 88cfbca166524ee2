"""A small generated dataset for instance segmentation: overlapping textured shapes.

`sample_scene` samples the parameters of a scene, `draw_scene` turns them into an image and its
instances, `semantic_map` into a label map, `write_dataset` writes a dataset in COCO format. Colors,
textures, scale and rotation are independent of the class, so that only the outline shows it.

Lengths and positions are in pixels, x to the right and y down; colors are BGR, as in OpenCV.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from pycocotools import mask as mask_api

from .folders import check_parameters, is_filled, write_whole
from .goals import ShapesSpec

CLASSES = ('disc', 'ring', 'square', 'triangle', 'star', 'cross')
TEXTURES = ('stripes', 'checks', 'dots', 'clouds')
SPLITS = ('train', 'val')
VERSION = 2  # of the files, one of a dataset's parameters: increase it when the files change

MIN_VISIBLE = 0.5  # share of a shape's area; shapes that are hidden more are left out
MIN_PIXELS = 50
MIN_CONTRAST = 90.0  # distance of base colors in BGR, so that every outline can be seen


@dataclass(frozen=True)
class Texture:
    """A pattern of two colors in the coordinates of its surface."""

    kind: str
    colors: np.ndarray
    angle: float
    period: float


@dataclass(frozen=True)
class Shape:
    """One object: the outline of `CLASSES[category]` within a circle, and its texture."""

    category: int
    center: tuple[float, float]
    radius: float
    angle: float
    texture: Texture


@dataclass(frozen=True)
class Scene:
    """A square picture; `shapes` are in painting order, so that later ones hide earlier ones."""

    size: int
    background: Texture
    shapes: tuple[Shape, ...]
    light: tuple[float, float]
    noise_seed: int


class Instance(NamedTuple):
    """The visible part of a shape: index into CLASSES and (H, W) bool mask."""

    category: int
    mask: np.ndarray


def _polar(radii: list[float], turn: float = 0.0) -> np.ndarray:
    """Corners at equal angles around the origin, the first at the top."""
    angles = turn - math.pi / 2 + 2 * math.pi * np.arange(len(radii)) / len(radii)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.array(radii)[:, None]


def _cross(arm: float) -> np.ndarray:
    quarter = np.array([[arm, -1.0], [arm, -arm], [1.0, -arm]])
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    corners = [quarter @ np.linalg.matrix_power(turn, k) for k in range(4)]
    return np.concatenate(corners) / math.hypot(1.0, arm)


# Closed polygons in a unit circle, filled by the even-odd rule (a second one is a hole).
OUTLINES = {
    'disc': [_polar([0.85] * 48)],
    'ring': [_polar([0.9] * 48), _polar([0.5] * 48)],
    'square': [_polar([1.0] * 4, turn=math.pi / 4)],
    'triangle': [_polar([1.0] * 3)],
    'star': [_polar([1.0, 0.42] * 5)],
    'cross': [_cross(0.36)],
}


def sample_texture(rng: np.random.Generator, avoid: list[np.ndarray]) -> Texture:
    """A random texture whose base color differs from the colors in `avoid`, if possible."""
    for _ in range(50):
        base = rng.uniform(20, 235, 3)
        if all(np.linalg.norm(base - other) >= MIN_CONTRAST for other in avoid):
            break
    colors = np.stack([base, base + rng.uniform(-70, 70, 3)])
    kind = TEXTURES[rng.integers(len(TEXTURES))]
    return Texture(kind, colors, rng.uniform(0, math.pi), rng.uniform(4, 12))


def sample_scene(rng: np.random.Generator, size: int) -> Scene:
    """Two to six shapes of any class, scale and rotation at random positions, overlaps included."""
    background = sample_texture(rng, avoid=[])
    colors, shapes = [background.colors[0]], []
    for _ in range(rng.integers(2, 7)):
        radius = size * math.exp(rng.uniform(math.log(0.1), math.log(0.26)))
        x, y = rng.uniform(0.6 * radius, size - 0.6 * radius, 2)
        texture = sample_texture(rng, colors)
        colors.append(texture.colors[0])
        category = int(rng.integers(len(CLASSES)))
        shapes.append(Shape(category, (x, y), radius, rng.uniform(0, 2 * math.pi), texture))
    light = tuple(rng.uniform(-0.25, 0.25, 2))
    return Scene(size, background, tuple(shapes), light, int(rng.integers(2**32)))


def shade(texture: Texture, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Colors (..., 3) of a texture at surface points (u, v)."""
    cos, sin = math.cos(texture.angle), math.sin(texture.angle)
    u, v = (cos * u + sin * v) / texture.period, (cos * v - sin * u) / texture.period
    if texture.kind == 'stripes':
        weight = 0.5 + 0.5 * np.sin(2 * math.pi * u)
    elif texture.kind == 'checks':
        weight = (np.floor(u) + np.floor(v)) % 2
    elif texture.kind == 'dots':
        weight = ((u % 1 - 0.5) ** 2 + (v % 1 - 0.5) ** 2 < 0.1).astype(float)
    else:  # clouds: plane waves in directions and frequencies that never line up
        waves = [
            np.sin((0.5 + 0.6 * k) * (u * math.cos(2.4 * k) + v * math.sin(2.4 * k)) + k)
            for k in range(5)
        ]
        weight = np.clip(0.5 + 0.25 * sum(waves), 0, 1)
    return texture.colors[0] + weight[..., None] * (texture.colors[1] - texture.colors[0])


def outline_mask(
    outline: list[np.ndarray], center: tuple[float, float], radius: float, angle: float, size: int
) -> np.ndarray:
    """The (H, W) bool mask of closed polygons in a unit circle, filled by the even-odd rule.

    `angle` is a clockwise rotation in radians.
    """
    cos, sin = math.cos(angle), math.sin(angle)
    rotation = np.array([[cos, sin], [-sin, cos]]) * radius
    polygons = [loop @ rotation + center for loop in outline]
    mask = np.zeros((size, size), np.uint8)
    bits = 4  # fractional bits of the corners: a sixteenth of a pixel
    cv2.fillPoly(mask, [np.round(p * 2**bits).astype(np.int32) for p in polygons], 1, shift=bits)
    return mask.astype(bool)


def _full_mask(shape: Shape, size: int) -> np.ndarray:
    """The (H, W) bool mask of a shape, hidden parts included."""
    outline = OUTLINES[CLASSES[shape.category]]
    return outline_mask(outline, shape.center, shape.radius, shape.angle, size)


def _visible(scene: Scene) -> list[tuple[Shape, np.ndarray]]:
    """Shapes that are visible enough, in painting order, each with its visible mask.

    A shape that is hidden too much is removed from the scene and hides nothing itself, so that
    the picture has no remnants without an annotation.
    """
    covered = np.zeros((scene.size, scene.size), bool)
    seen = []
    for shape in reversed(scene.shapes):
        full = _full_mask(shape, scene.size)
        visible = full & ~covered
        if visible.sum() >= max(MIN_PIXELS, MIN_VISIBLE * full.sum()):
            seen.append((shape, visible))
            covered |= full
    return seen[::-1]


def draw_scene(scene: Scene) -> tuple[np.ndarray, list[Instance]]:
    """The (H, W, 3) uint8 image of a scene and its instances."""
    y, x = np.mgrid[: scene.size, : scene.size].astype(float)
    image = shade(scene.background, x, y)
    shapes = _visible(scene)
    for shape, mask in shapes:
        cos, sin = math.cos(shape.angle), math.sin(shape.angle)
        dx, dy = x[mask] - shape.center[0], y[mask] - shape.center[1]
        # The texture is fixed to the shape: it rotates and moves with it.
        image[mask] = shade(shape.texture, cos * dx + sin * dy, cos * dy - sin * dx)
    ramp = scene.light[0] * (x / scene.size - 0.5) + scene.light[1] * (y / scene.size - 0.5)
    noise = np.random.default_rng(scene.noise_seed).normal(0, 4, image.shape)
    image = image * (1 + ramp[..., None]) + noise
    return np.clip(np.round(image), 0, 255).astype(np.uint8), [
        Instance(shape.category, mask) for shape, mask in shapes
    ]


def semantic_map(scene: Scene, instances: list[Instance]) -> np.ndarray:
    """(H, W) uint8 labels of a scene's pixels, category id - 1 as in the maps of COCO-Stuff.

    Things come first, with an index into CLASSES; then stuff, the texture of the background:
    len(CLASSES) + an index into TEXTURES. No pixel is 255, which COCO-Stuff ignores.
    """
    stuff = len(CLASSES) + TEXTURES.index(scene.background.kind)
    labels = np.full((scene.size, scene.size), stuff, np.uint8)
    for instance in instances:
        labels[instance.mask] = instance.category
    return labels


def scene_of(spec: ShapesSpec, split: str, index: int) -> Scene:
    """The scene of an image of a dataset; it depends on the arguments only."""
    return sample_scene(np.random.default_rng([spec.seed, SPLITS.index(split), index]), spec.size)


def _annotation(instance: Instance) -> dict[str, Any]:
    # RLE, because polygons are not exact for holes and occluded shapes.
    rle = mask_api.encode(np.asfortranarray(instance.mask, dtype=np.uint8))
    return dict(
        category_id=instance.category + 1,
        iscrowd=0,
        area=int(mask_api.area(rle)),
        bbox=[int(value) for value in mask_api.toBbox(rle)],
        segmentation=dict(size=rle['size'], counts=rle['counts'].decode('ascii')),
    )


def _info(spec: ShapesSpec) -> dict[str, Any]:
    return dict(description='textured shapes', version=VERSION, **asdict(spec))


def _write_png(file: Path, pixels: np.ndarray) -> None:
    if not cv2.imwrite(str(file), pixels):
        raise OSError(f'{file}: OpenCV could not write this image')


def _folders(root: Path, split: str) -> dict[str, Path]:
    """The folders with PNG files of a split, by content."""
    return {'images': root / split, 'semantic maps': root / 'stuffthingmaps' / split}


def _write_split(root: Path, spec: ShapesSpec, split: str) -> None:
    images, annotations = [], []
    folders = _folders(root, split)
    for folder in folders.values():
        folder.mkdir(parents=True)
    for index in range(getattr(spec, split)):
        scene = scene_of(spec, split, index)
        image, instances = draw_scene(scene)
        name = f'{index:06d}.png'
        _write_png(folders['images'] / name, image)
        _write_png(folders['semantic maps'] / name, semantic_map(scene, instances))
        images.append(dict(id=index, file_name=name, width=spec.size, height=spec.size))
        annotations += [
            dict(id=len(annotations) + k + 1, image_id=index, **_annotation(instance))
            for k, instance in enumerate(instances)
        ]
    categories = [dict(id=k + 1, name=name) for k, name in enumerate(CLASSES)]
    coco = dict(info=_info(spec), categories=categories, images=images, annotations=annotations)
    (root / 'annotations').mkdir(exist_ok=True)
    (root / 'annotations' / f'instances_{split}.json').write_text(json.dumps(coco))


def check_dataset(root: Path, spec: ShapesSpec) -> None:
    """Raise ValueError unless `root` holds the complete dataset of `spec`."""
    remedy = f'Delete {root} to generate it again, or choose another folder.'
    for split in SPLITS:
        file = root / 'annotations' / f'instances_{split}.json'
        if not file.is_file():
            raise ValueError(f'{root}: not a shapes dataset, {file} is missing. {remedy}')
        wanted = _info(spec)
        check_parameters(file, json.loads(file.read_text())['info'], wanted, remedy)
        for kind, folder in _folders(root, split).items():
            count = len(list(folder.glob('*.png')))
            if count != wanted[split]:
                raise ValueError(f'{folder}: {count} of {wanted[split]} {kind}. {remedy}')


def write_dataset(root: Path | str, spec: ShapesSpec | None = None) -> bool:
    """Write the dataset of `spec` to `root`, atomically; False if it exists already."""
    root, spec = Path(root), spec or ShapesSpec()
    if is_filled(root):
        check_dataset(root, spec)
        return False

    def write(draft: Path) -> None:
        for split in SPLITS:
            _write_split(draft, spec, split)

    write_whole(root, write)
    return True
