"""Which file names the classes of label maps, by id or by color."""

from __future__ import annotations

import csv
import posixpath
import re
from typing import NamedTuple

from ...errors import ConfigError, truncate
from .source import Source

COLOR_FILES = ('labelmap.txt', 'class_dict.csv', 'label_colors.txt', 'label_colors.csv')
ID_FILES = ('classes.txt', 'labels.txt', 'class_names.txt', '_classes.csv')
CVAT = re.compile(r'(?P<name>[^:#]+):(?P<r>\d+),(?P<g>\d+),(?P<b>\d+):')  # name:r,g,b:parts:actions
TABLE = re.compile(r'(?P<name>.+?)[,;\t]\s*(?P<r>\d+)[,;\s]+(?P<g>\d+)[,;\s]+(?P<b>\d+)\s*$')
CAMVID = re.compile(r'(?P<r>\d+)\s+(?P<g>\d+)\s+(?P<b>\d+)\s+(?P<name>.+)$')


class MapNames(NamedTuple):
    """Names of classes; both are empty if no file has them."""

    file: str = ''
    by_id: list[str] = []
    colors: dict[int, str] = {}  # by r << 16 | g << 8 | b


def read_map_names(source: Source) -> MapNames:
    """The first of the known files, those for colors before those for ids.

    Raises:
        ConfigError: It repeats names or colors, or has none.
    """
    for known in (*COLOR_FILES, *ID_FILES):
        files = [name for name in source.names if posixpath.basename(name).lower() == known]
        for file in sorted(files, key=lambda name: name.count('/'))[:1]:
            if known in COLOR_FILES:
                return MapNames(file, [], _colors(source, file))
            return MapNames(file, _ids(source, file), {})
    return MapNames()


def _colors(source: Source, file: str) -> dict[int, str]:
    found: dict[int, str] = {}
    for line in map(str.strip, source.text(file).splitlines()):
        match = next((m for p in (CVAT, CAMVID, TABLE) if (m := p.match(line))), None)
        if match is None:  # a comment or a header
            continue
        red, green, blue = (int(match[key]) for key in 'rgb')
        code = red << 16 | green << 8 | blue
        if (
            max(red, green, blue) > 255
            or found.setdefault(code, match['name'].strip()) != match['name'].strip()
        ):
            raise ConfigError(
                f'{source.path(file)}: color {red},{green},{blue} is above 255, or belongs to two '
                'classes'
            )
    if not found:
        raise ConfigError(
            f'{source.path(file)} has no line with a class and its color, such as road:128,64,128::'
        )
    return found


def _ids(source: Source, file: str) -> list[str]:
    lines = [line.strip() for line in source.text(file).splitlines() if line.strip()]
    names = lines
    if file.endswith('.csv'):  # Roboflow: Pixel Value, Class
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines)]
        pairs = {int(row[0]): row[1] for row in rows if len(row) == 2 and row[0].isdecimal()}
        if not pairs or max(pairs) > 254:
            raise ConfigError(f'{source.path(file)} must have rows "Pixel Value, Class", 0 to 254')
        names = [pairs.get(i, f'class {i}') for i in range(max(pairs) + 1)]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated or not names:
        problem = f'repeats {truncate(repeated)}' if repeated else 'is empty'
        raise ConfigError(f'{source.path(file)} {problem}; it must have one line per class')
    return names
