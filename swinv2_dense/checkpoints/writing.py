"""Write checkpoints in this package's format, atomically.

For a backbone: `state_dict` with our parameter names, the final norm as the output norm of the last
stage, a classifier's head as `head.fc`, and `meta['swinv2_dense']` with `source`, `format`, `arch`,
`pretrained_window_sizes`, `num_classes` and `sha256` of the original file. In safetensors, the
header holds everything that is not a tensor.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..arguments import Arch, Parts, parts_name
from ..atomic_files import replacing
from ..checks.result_cache import file_digest
from ..errors import CheckpointError
from .fetching import LocalCheckpoint, fetch
from .formats import METADATA_KEY, Weights, arch_name, arch_of, summarize_keys
from .loading import read_weights
from .parts import parts_of
from .pretrained_windows import PretrainedWindows, find_pretrained_windows, trained_window
from .reading import HEADER, read_checkpoint_file

SUFFIXES = ('.safetensors', '.pth')
# What a release keeps from the meta of a training checkpoint.
PUBLISHED_META = ('dataset_meta', 'epoch', 'iter', 'cfg', 'mmengine_version', HEADER)


@dataclass
class Inspection:
    """What `--inspect` prints about a checkpoint."""

    file: LocalCheckpoint
    weights: Weights
    arch: Arch
    pretrained: PretrainedWindows | None

    @property
    def num_parameters(self) -> int:
        """Number of parameters of the backbone."""
        return sum(value.numel() for value in self.weights.state.values())

    @property
    def parts(self) -> Parts:
        """What it shares with V1 or V2."""
        return parts_of(self.weights.state)

    @property
    def windows(self) -> list[tuple[int, ...]] | None:
        """Windows of the last training, per stage, if the coordinate tables are stored."""
        tables = self.weights.tables
        keys = [f'layers.{s}.blocks.0.attn.relative_coords_table' for s in range(99)]
        return [trained_window(tables[key]) for key in keys if key in tables] or None

    def __str__(self) -> str:
        pretrained, windows = self.pretrained, self.windows
        classes = self.weights.num_classes
        dtypes = sorted({str(v.dtype).removeprefix('torch.') for v in self.weights.state.values()})
        rows = dict(
            format=self.weights,
            arch=arch_name(self.arch, self.parts),
            parts=parts_name(self.parts),
            settings=', '.join(f'{k}={v}' for k, v in self.arch._asdict().items()),
            axes={2: '2 (images)', 3: '3 (video)'}.get(self.weights.rank, self.weights.rank),
            parameters=f'{self.num_parameters:,} in the backbone',
            dtype=', '.join(dtypes),
            windows=f'{windows} (from the stored tables)' if windows else 'not stored',
            pretrained=f'windows {pretrained.windows} (from {pretrained.origin})'
            if pretrained
            else 'windows unknown: set pretrained_window_sizes when loading',
            head=f'{classes} classes ({", ".join(self.weights.head_keys)})' if classes else 'none',
            ignored=f'{len(self.weights.ignored)} {summarize_keys(self.weights.ignored)}',
        )
        path = self.file.path
        if path.is_file():
            rows['file'] = f'{path.stat().st_size / 2**20:.1f} MiB'
            rows['sha256'] = file_digest(path)
        return '\n'.join([self.file.name, *(f'  {name:<11} {row}' for name, row in rows.items())])


def inspect(source: str, prefix: str | None = None) -> Inspection:
    """Read a checkpoint of any known format and describe it.

    Raises:
        CheckpointError: See `load_pretrained`, except for checks that need a model.
    """
    weights, file = read_weights(source, prefix)
    return Inspection(file, weights, arch_of(weights.state), find_pretrained_windows(weights, file))


def publish_checkpoint(source: str, target: Path) -> Path:
    """Strip a training checkpoint to its weights and what inference needs, for release.

    Optimizer, schedules, logs, and raw weights if there are averaged ones, are removed. The start
    of the file's sha256 is added to its name; loading by URL verifies it.

    Returns:
        The file written: `target` with a checksum, such as swinv2-1a2b3c4d.pth.

    Raises:
        CheckpointError: The source is not a training checkpoint, or the target cannot be written.
    """
    check_target(target, exists=False)
    checkpoint = published_part(source)
    unnamed = target.with_name(f'.{target.stem}.{os.getpid()}{target.suffix}')
    try:
        write(checkpoint, unnamed)
        named = target.with_name(f'{target.stem}-{file_digest(unnamed)[:8]}{target.suffix}')
        check_target(named)
        unnamed.replace(named)
    finally:
        unnamed.unlink(missing_ok=True)
    return named


def published_part(source: str) -> dict[str, Any]:
    """What a release keeps of a training checkpoint: `state_dict` and `meta`.

    Raises:
        CheckpointError: The source is not a training checkpoint.
    """
    checkpoint = read_checkpoint_file(fetch(source).path, map_location='cpu')
    state = checkpoint.get('state_dict') if isinstance(checkpoint, Mapping) else None
    if not isinstance(state, Mapping) or not state:
        raise CheckpointError(
            f'checkpoint {source} has no state_dict, so it is not a training checkpoint; '
            'tools/convert_checkpoint.py converts weights of other formats'
        )
    meta = checkpoint.get('meta') or {}
    meta = {key: meta[key] for key in PUBLISHED_META if key in meta}
    return dict(state_dict=state, meta=meta)


def write(checkpoint: dict[str, Any], target: Path) -> None:
    """Write `dict(state_dict=..., meta=...)` to a .safetensors or .pth file, atomically."""
    state = checkpoint['state_dict']
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as draft:
            if target.suffix == '.safetensors':
                from safetensors.torch import save_file

                tensors = {key: value.detach().clone().contiguous() for key, value in state.items()}
                draft.touch()
                mode = draft.stat().st_mode  # as the umask says; safetensors sets one of its own
                save_file(tensors, draft, metadata=_header(state, checkpoint['meta']))
                draft.chmod(mode)
            else:
                with draft.open('wb') as file:  # torch writes the name of a path into the file
                    torch.save(checkpoint, file)
    except Exception as error:  # of the disk; torch and safetensors have errors of their own
        reason = getattr(error, 'strerror', None) or ' '.join(str(error).split())
        raise CheckpointError(f'{target} cannot be written: {reason}') from error


def _header(state: Mapping[str, Tensor], meta: Mapping[str, Any]) -> dict[str, str]:
    """Header of a safetensors file: one JSON string, because several have no fixed order."""
    modules = getattr(state, '_metadata', {})
    windows = {
        name: {METADATA_KEY: module[METADATA_KEY]}
        for name, module in modules.items()
        if METADATA_KEY in module
    }
    return {HEADER: json.dumps(dict(state_dict=windows, meta=meta), default=str)}


def check_target(target: Path, exists: bool = True) -> None:
    """Raise a `CheckpointError` if a checkpoint cannot have this name.

    Args:
        target: The file to write.
        exists: Whether an existing file is an error.
    """
    if target.suffix not in SUFFIXES:
        raise CheckpointError(f'{target}: the output file must end in {" or ".join(SUFFIXES)}')
    if exists and target.exists():
        raise CheckpointError(f'{target} exists; remove it or choose another name')
