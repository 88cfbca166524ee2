"""Small pictures for pages, inside the page or beside it."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

EMBEDDED_BYTES = 14_000_000  # base64 takes 4 bytes for 3: less than 20 MB with the rest of a page
LONG_EDGE = 480
SMALL_EDGE = 320  # for more than FEW pictures, 500 of which fit into a page
FEW = 150


class Thumbnail:
    """The bytes of a picture; `source` is what the page refers to.

    Not a dataclass: `dataclasses.asdict` would take it apart.
    """

    def __init__(self, content: bytes, suffix: str) -> None:
        self.content, self.suffix = content, suffix
        self.file: str | None = None

    @property
    def source(self) -> str:
        """A path relative to the page, or a data URI."""
        if self.file is not None:
            return self.file
        return f'data:image/{self.suffix};base64,{base64.b64encode(self.content).decode()}'


def edge_for(count: int) -> int:
    """The longer edge of thumbnails, in pixels, in a gallery with this many."""
    return LONG_EDGE if count <= FEW else SMALL_EDGE


def thumbnail(image: np.ndarray, edge: int) -> Thumbnail:
    """A thumbnail of an image (H, W, 3) in RGB, whose longer edge has at most `edge` pixels."""
    picture = Image.fromarray(image)
    picture.thumbnail((edge, edge), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    picture.save(content, 'WEBP', quality=70)
    return Thumbnail(content.getvalue(), 'webp')


def map_thumbnail(labels: np.ndarray, palette: np.ndarray, edge: int) -> Thumbnail:
    """A thumbnail of a label map (H, W) in the colors of a palette (N, 3).

    Labels outside of the palette are transparent. Nearest neighbors: mixed colors would look like
    other classes.
    """
    height, width = labels.shape
    scale = min(1.0, edge / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    known = labels < len(palette)
    colors = np.zeros((height, width, 4), np.uint8)
    colors[known, :3] = palette[labels[known]]
    colors[known, 3] = 255
    picture = Image.fromarray(colors).resize(size, Image.Resampling.NEAREST)
    content = io.BytesIO()
    picture.save(content, 'PNG', optimize=True)
    return Thumbnail(content.getvalue(), 'png')
