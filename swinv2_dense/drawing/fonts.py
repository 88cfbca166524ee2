"""Finds installed fonts with the characters of a text.

DejaVu Sans comes with matplotlib and covers Latin, Greek, Cyrillic, Arabic, Hebrew, Georgian and
more. Other scripts need an installed font; characters without a font are replaced, with a warning.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from pathlib import Path

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from mmengine.logging import print_log
from PIL import ImageFont

# They claim to have every character, and draw boxes or nothing.
_PLACEHOLDERS = ('lastresort', 'adobeblank', 'adobenotdef', 'unicodebmpfallback')
_PLAIN = ('sans', 'regular', 'cjk', 'noto')
_STYLED = ('bold', 'italic', 'oblique', 'mono', 'light', 'thin', 'black', 'condensed', 'serif')
_CJK = ('CJK', 'HIRAGANA', 'KATAKANA', 'HANGUL', 'BOPOMOFO', 'IDEOGRAPHIC', 'FULLWIDTH')
_INVISIBLE = ('Cc', 'Cf', 'Zs', 'Zl', 'Zp')  # Unicode categories that need no font
MISSING = '…'


@lru_cache(maxsize=1)
def font_files() -> tuple[str, ...]:
    """Installed fonts by preference: plain sans-serif styles first."""
    default = font_manager.findfont('DejaVu Sans')
    names = {path: Path(path).stem.lower() for path in font_manager.findSystemFonts()}
    usable = (p for p, name in names.items() if not name.startswith(_PLACEHOLDERS))

    def rank(path: str) -> tuple[int, str]:
        styled = sum(word in names[path].replace('sansserif', '') for word in _STYLED)
        return styled - sum(word in names[path] for word in _PLAIN), path

    return (default, *sorted(usable, key=rank))


def runs(text: str) -> list[tuple[str, str]]:
    """(font file, part) pairs of a text: a single font if one has all characters.

    Characters without a font are dropped.
    """
    for path in font_files():
        if all(_has(path, char) for char in text):
            return [(path, text)]
    found: list[tuple[str, str]] = []
    for char in text:
        path = _font_of(char)
        if path is None:
            continue
        if found and (found[-1][0] == path or _has(found[-1][0], char)):
            found[-1] = found[-1][0], found[-1][1] + char
        else:
            found.append((path, char))
    return found


def printable(text: str) -> str:
    """The text in one line, with an ellipsis for characters without a font."""
    shown = ''
    for char in _one_line(text):
        if _font_of(char) is not None:
            shown += char
        elif not shown.endswith(MISSING):
            shown += MISSING
    return shown


@lru_cache(maxsize=64)
def legible_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Class names that can be drawn; `class 3` in place of a name with characters without a font.

    The log says which font to install.
    """
    lines = [_one_line(name) for name in names]
    missing = [line for line in lines if any(_font_of(char) is None for char in line)]
    if missing:
        _warn(missing)
    return tuple(
        line if line and line not in missing else f'class {i}' for i, line in enumerate(lines)
    )


@lru_cache(maxsize=64)
def load(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


def _one_line(text: str) -> str:
    line = unicodedata.normalize('NFC', ' '.join(str(text).split()))
    return ''.join(char for char in line if unicodedata.category(char) != 'Cc')


def _warn(missing: Sequence[str]) -> None:
    chars = [char for name in missing for char in name if _font_of(char) is None]
    wanted = ', '.join(dict.fromkeys(_fonts_for(chars)))
    print_log(
        f'no installed font has all characters of {len(missing)} class names, first '
        f'{missing[0]!r}; pictures show "class NUMBER" instead. Install {wanted}',
        logger='current',
        level=logging.WARNING,
    )


def _fonts_for(chars: Sequence[str]) -> Iterator[str]:
    for char in chars:
        script = unicodedata.name(char, 'UNKNOWN').split()[0]
        if script in _CJK:
            yield 'Noto Sans CJK (Debian, Ubuntu: apt install fonts-noto-cjk)'
        elif unicodedata.category(char) == 'So':
            yield 'Noto Emoji or Noto Sans Symbols (Debian, Ubuntu: apt install fonts-noto)'
        else:
            yield f'Noto Sans {script.title()} (Debian, Ubuntu: apt install fonts-noto-core)'


@cache
def _font_of(char: str) -> str | None:
    return next((path for path in font_files() if _has(path, char)), None)


def _has(path: str, char: str) -> bool:
    is_selector = 0xFE00 <= ord(char) <= 0xFE0F  # selects a variant of the previous character
    is_invisible = is_selector or unicodedata.category(char) in _INVISIBLE
    return ord(char) in _characters(path) or is_invisible and bool(_characters(path))


@cache
def _characters(path: str) -> frozenset[int]:
    """Code points of a font; none if it is damaged or not scalable."""
    try:
        font = FT2Font(path)
        load(path, 14)
        return frozenset(font.get_charmap()) if font.scalable else frozenset()
    except (OSError, RuntimeError, ValueError):
        return frozenset()
