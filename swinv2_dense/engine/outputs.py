"""Files that tools/infer.py writes for one input: each appears when it is complete."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KINDS = ('predictions', 'pictures', 'label_maps')


@dataclass(frozen=True)
class Outputs:
    """`folder/KIND/NAME + SUFFIX`, where `name` is the input's path below what all inputs share."""

    folder: Path
    name: str

    @contextmanager
    def whole(self, kind: str, suffix: str, part: str = '') -> Iterator[Path]:
        """A draft to write, which becomes the file; an error leaves nothing behind."""
        file = self.folder / kind / f'{self.name}{part}{suffix}'
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(
            f'.draft-{os.getpid()}{suffix}'
        )  # short: names have at most 255 bytes
        try:
            yield draft
            os.replace(draft, file)
        finally:
            draft.unlink(missing_ok=True)

    def remove_parts(self, kind: str) -> None:
        """Remove what was written with a `part`."""
        shutil.rmtree(self.folder / kind / self.name, ignore_errors=True)

    def write_json(self, record: dict[str, Any]) -> None:
        """Predictions; written last, so that an input with this file is done."""
        with self.whole('predictions', '.json') as draft:
            draft.write_text(json.dumps(record, indent=1) + '\n')
