"""Scenes for readers of annotated folders, and their objects as read, in a comparable form."""

from __future__ import annotations

import numpy as np
from format_writers import Scene, Thing

from swinv2_dense.preparation.own.found import Sample
from swinv2_dense.preparation.own.prepare import Prepared

TRIANGLE = (4.0, 6.0, 36.0, 6.0, 20.0, 30.0)
SMALL_PART = (40.0, 40.0, 48.0, 40.0, 48.0, 46.0)
BOXES = [
    Scene(
        'a.jpg',
        80,
        60,
        (Thing('cat', (10.0, 20.0, 30.0, 15.0)), Thing('dog', (0.0, 0.0, 8.0, 9.0))),
    ),
    Scene('b.png', 64, 48, (Thing('dog', (5.0, 6.0, 40.0, 30.0)),)),
    Scene('c.jpg', 50, 70, ()),
]
MASKS = [
    Scene('a.jpg', 80, 60, (Thing('cat', (4.0, 6.0, 32.0, 24.0), (TRIANGLE,)),)),
    Scene('b.png', 64, 48, (Thing('dog', (4.0, 6.0, 32.0, 24.0), (TRIANGLE,)),)),
]


def in_splits(scenes: list[Scene]) -> list[Scene]:
    """The last image for validation."""
    last = len(scenes) - 1
    return [s._replace(split='val' if i == last else 'train') for i, s in enumerate(scenes)]


def objects_of(prepared: Prepared) -> dict[str, list]:
    """Label, box and polygons of each object, by the name of the image; rounded to a thousandth."""
    return {sample.path.name: things_of(sample) for s in prepared.splits.values() for sample in s}


def things_of(sample: Sample) -> list:
    return sorted(
        (o.label, *np.round(o.box, 3), [list(np.round(p, 3)) for p in o.polygons or ()])
        for o in sample.objects
    )


def truth(scenes: list[Scene]) -> dict[str, list]:
    return {
        s.name: sorted((t.label, *t.box, [list(p) for p in t.polygons]) for t in s.things)
        for s in scenes
    }
