"""Put images and videos into the new folder without copying their content, where possible."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

from .exif import without_rotation
from .found import Sample


class Placer:
    """Hard links; symbolic links if the source is on another file system; else copies.

    Attributes:
        counts: How many files were placed in which way.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def place(self, sample: Sample, target: Path) -> None:
        """Put the image or video of a sample at `target`."""
        if sample.drops_rotation:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(without_rotation(sample.path.read_bytes()) or b'')
            self.counts['copied without rotation'] += 1
        else:
            self.place_file(sample.path, target)

    def place_file(self, path: Path, target: Path) -> None:
        """Link a file."""
        source = path.resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        for how, link in (
            ('hard links', os.link),
            ('symbolic links', os.symlink),
            ('copies', shutil.copyfile),
        ):
            try:
                link(source, target)
            except (OSError, NotImplementedError):
                if how == 'copies':
                    raise
                continue
            self.counts[how] += 1
            return

    def __str__(self) -> str:
        return ', '.join(f'{count} {how}' for how, count in self.counts.items())


def names_in(samples: list[Sample], root: Path) -> list[str]:
    """Paths for the new folder: below the folder that all samples have in common."""
    paths = [sample.path.relative_to(root).as_posix() for sample in samples]
    folders = {os.path.dirname(path) for path in paths}
    common = os.path.commonpath(folders) if folders else ''
    return [path[len(common) + 1 :] if common else path for path in paths]
