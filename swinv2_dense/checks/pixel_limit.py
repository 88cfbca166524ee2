"""The number of pixels above which an image is not decoded."""

from __future__ import annotations

from ..errors import ConfigError

MAX_PIXELS = 179_000_000  # near Pillow's own limit


def check_pixels(width: int, height: int, path: str) -> None:
    """Raise ConfigError for an image of more than `MAX_PIXELS` pixels."""
    if width * height > MAX_PIXELS:
        raise ConfigError(
            f'{path} has {width} x {height} pixels, more than {MAX_PIXELS}; make it smaller'
        )
