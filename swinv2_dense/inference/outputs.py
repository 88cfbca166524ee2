"""The output files of inference for one input, written atomically."""

from __future__ import annotations

import json
import shutil
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..atomic_files import replacing

KINDS = ('predictions', 'pictures', 'label_maps')


@dataclass(frozen=True)
class Outputs:
    """Files `folder/KIND/NAME + SUFFIX`; `name` is the input's path in the folder of all inputs."""

    folder: Path
    name: str
    picture_name: str  # of the file in `pictures`

    def picture(self) -> AbstractContextManager[Path]:
        """Like `replacing`, for the picture."""
        return self._replacing(self.folder / 'pictures' / self.picture_name)

    def replacing(self, kind: str, suffix: str, part: str = '') -> AbstractContextManager[Path]:
        """A draft to write, which then replaces the file; an error leaves nothing behind."""
        return self._replacing(self.folder / kind / f'{self.name}{part}{suffix}')

    @staticmethod
    def _replacing(file: Path) -> AbstractContextManager[Path]:
        file.parent.mkdir(parents=True, exist_ok=True)
        return replacing(file, durable=False, keep_suffix=True)

    def remove_parts(self, kind: str) -> None:
        """Remove the files written with a `part`."""
        shutil.rmtree(self.folder / kind / self.name, ignore_errors=True)

    def write_json(self, record: dict[str, Any]) -> None:
        """Write the predictions. Do this last: an input with this file is done."""
        with self.replacing('predictions', '.json') as draft:
            draft.write_text(json.dumps(record, indent=1) + '\n')
