"""Random COCO annotations and detections that make every kind of error."""

from __future__ import annotations

import numpy as np
from pycocotools import mask

SIZE = (160, 200)


def random_detections(seed: int, images: int = 12, classes: int = 3) -> tuple[dict, list[dict]]:
    """A COCO dictionary and COCO results, both with boxes and masks; some objects are crowds."""
    rng = np.random.default_rng(seed)
    size = dict(height=SIZE[0], width=SIZE[1])
    truth: dict = dict(
        images=[dict(id=i, file_name=f'{i}.png', **size) for i in range(images)],
        annotations=[],
        categories=[dict(id=10 * c + 7, name=f'kind {c}') for c in range(classes)],
    )  # fmt: skip
    results = []
    for image in range(images):
        for _ in range(rng.integers(1, 6)):
            box = _box(rng)
            category = int(10 * rng.integers(classes) + 7)
            truth['annotations'].append(
                dict(
                    id=len(truth['annotations']) + 1,
                    image_id=image,
                    category_id=category,
                    iscrowd=int(rng.random() < 0.1),
                    **_object(box),
                )
            )
            for _ in range(rng.integers(0, 4)):
                kind = category if rng.random() < 0.7 else int(10 * rng.integers(classes) + 7)
                near = box + rng.normal(0, rng.choice([1, 6, 20]), 4)
                results.append(_result(image, kind, near, rng))
        results.append(_result(image, 7, _box(rng), rng))
    return truth, results


def _box(rng: np.random.Generator) -> np.ndarray:
    return np.array([rng.integers(0, 120), rng.integers(0, 90), *rng.integers(12, 70, 2)], float)


def _object(box: np.ndarray) -> dict:
    """Box, an elliptic mask inside it, and its area."""
    x, y, width, height = np.clip(box, [0, 0, 4, 4], [190, 150, 100, 100])
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    ellipse = ((columns - x - width / 2) / width) ** 2 + ((rows - y - height / 2) / height) ** 2
    encoded = mask.encode(np.asfortranarray(ellipse <= 0.25, np.uint8))
    return dict(
        bbox=[float(value) for value in (x, y, width, height)],
        area=float(mask.area(encoded)),
        segmentation=dict(size=list(SIZE), counts=encoded['counts'].decode()),
    )


def _result(image: int, category: int, box: np.ndarray, rng: np.random.Generator) -> dict:
    made = _object(box)
    made.pop('area')
    return dict(image_id=image, category_id=category, score=float(rng.random()), **made)
