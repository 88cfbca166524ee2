"""Write one folder per class: SPLIT/CLASS/x.mp4 or SPLIT/CLASS/x.jpg."""

from __future__ import annotations

from pathlib import Path

from ...errors import ConfigError
from .found import Sample
from .placing import Placer, names_in


def write(splits: dict[str, list[Sample]], root: Path, folder: Path) -> str:
    """Write all splits below `folder`; returns how files were placed.

    Raises:
        ConfigError: A label cannot be the name of a folder.
    """
    placer = Placer()
    for split, samples in splits.items():
        for sample, name in zip(samples, names_in(samples, root)):
            label = sample.label
            if label.startswith('.') or '/' in label or '\\' in label or '\0' in label:
                raise ConfigError(f'label {label!r} cannot be the name of a folder; rename it')
            parts = name.split('/')
            if label in parts[:-1]:  # the folder of the class, which is not repeated
                parts = parts[parts.index(label) + 1 :]
            placer.place(sample, folder.joinpath(split, label, *parts))
    return str(placer)
