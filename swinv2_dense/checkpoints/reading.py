"""Read checkpoint files: weights and training states, and nothing that could run code.

A file is known by its content, not by its name: safetensors, or what `torch.save` writes.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO

import torch

from ..errors import CheckpointError, CheckpointNotFoundError
from .shards import FILE, join_shards
from .training_state import load_weights_and_training_state

HEADER = 'swinv2_dense'  # entry of a safetensors header with what tensors cannot hold, as JSON
DEEPSPEED = 'mp_rank_00_model_states.pt'  # in a folder of DeepSpeed: up to ZeRO-2 the whole model
HUB_FILES = ('model.safetensors', 'pytorch_model.bin')  # as transformers and timm name them


def read_checkpoint_file(path: str | os.PathLike, map_location: Any = None) -> Any:
    """Read a checkpoint: a file, a folder of `save_pretrained`, or one of sharded training.

    Returns:
        What `torch.save` was given. From safetensors: the tensors by name, or where this package
        wrote the file, `dict(state_dict=..., meta=...)` as in a checkpoint of mmengine.

    Raises:
        CheckpointNotFoundError: There is no such file.
        CheckpointError: It is damaged, may not be read, is no checkpoint, or holds anything that
            could run code, which is not executed.
    """
    path = Path(path).expanduser()
    try:
        if path.is_dir():
            return _read_folder(path, map_location)
        with path.open('rb') as file:
            return read_checkpoint(file, str(path), map_location)
    except FileNotFoundError as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointNotFoundError(f'checkpoint {path} does not exist') from None
    except OSError as error:
        raise CheckpointError(
            f'checkpoint {path} cannot be opened: {error.strerror or error}'
        ) from error


def read_checkpoint(file: BinaryIO, name: str, map_location: Any = None) -> Any:
    """Read an open file as `read_checkpoint_file` does; `name` is for messages."""
    head = file.read(64)
    file.seek(0)
    _refuse_what_is_no_checkpoint(head, name)
    if head[8:9] == b'{':
        return _read_safetensors(file, name, map_location)
    if head.startswith(b'PK'):
        _check_archive(file, name)
    try:
        return load_weights_and_training_state(file, map_location)
    except UnpicklingError as error:
        # torch adds advice to load unsafely; the error that it wraps names the culprit. Its type is
        # the same for damaged files and for refused content, so only the text tells them apart.
        cause = str(error.__context__ or error).partition('. Please use')[0]
        cause = ' '.join(cause.partition('\n')[0].split())
        if 'global' not in cause.lower() and 'attribute' not in cause:
            raise _damaged(name, cause) from error
        raise CheckpointError(
            f'checkpoint {name} holds something else than weights and the training state of '
            'mmengine, and reading that could run code of whoever made the file. If you trust '
            'them, load it once with torch.load(..., weights_only=False) and save its state_dict '
            f'alone. What torch refused: {cause}'
        ) from error
    except Exception as error:  # a damaged pickle can raise almost anything
        raise _damaged(name, error) from error


def _refuse_what_is_no_checkpoint(head: bytes, name: str) -> None:
    if not head:
        raise CheckpointError(f'checkpoint {name} is empty (0 bytes); fetch it again')
    if head.lstrip()[:1] == b'<':
        raise CheckpointError(
            f'checkpoint {name} is a web page, not weights: the download was answered with a page '
            '(a login, an error, or the page around the file). Fetch the file itself.'
        )
    if head.startswith(b'version https://git-lfs'):
        raise CheckpointError(
            f'checkpoint {name} is the pointer that Git LFS keeps in place of the file; fetch the '
            'file with: git lfs pull'
        )


def _check_archive(file: BinaryIO, name: str) -> None:
    """Check what torch does not: it ignores checksums in zip files and reads damaged weights."""
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
            entries = {entry.partition('/')[2] for entry in archive.namelist()}
    except Exception as error:  # a damaged header can raise almost anything
        raise _damaged(name, error) from error
    if damaged:
        raise _damaged(name, f'the check sum of {damaged}')
    if 'constants.pkl' in entries:  # torch recognizes TorchScript by the same file
        raise CheckpointError(
            f'checkpoint {name} is a TorchScript program, not weights; save the state_dict() of '
            'what torch.jit.load gives'
        )
    file.seek(0)


def _damaged(name: str, cause: object) -> CheckpointError:
    cause = ' '.join(str(cause).split())
    return CheckpointError(
        f'checkpoint {name} cannot be read: it is no checkpoint, or incomplete or damaged. If it '
        f'was downloaded, delete it and fetch it again. What failed: {cause[:200]}'
    )


def _read_safetensors(file: BinaryIO, name: str, map_location: Any) -> Any:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load, load_file
    except ImportError:
        raise CheckpointError(
            f'checkpoint {name} is in safetensors format: pip install safetensors'
        ) from None
    try:
        header = json.loads(file.read(int.from_bytes(file.read(8), 'little')))
        file.seek(0)
        on_disk = isinstance(file, io.BufferedReader)
        state = OrderedDict(load_file(file.name) if on_disk else load(file.read()))
        ours = header.get('__metadata__', {}).get(HEADER)
        ours = json.loads(ours) if ours else None
    except (SafetensorError, ValueError, KeyError, MemoryError, OverflowError) as error:
        raise _damaged(name, error) from error
    if isinstance(map_location, (str, torch.device)):
        state = OrderedDict((key, value.to(map_location)) for key, value in state.items())
    if ours is None:
        return state
    state._metadata = OrderedDict(ours['state_dict'])
    return dict(state_dict=state, meta=ours['meta'])


def _read_folder(folder: Path, map_location: Any) -> Any:
    """What the files of a folder hold together: of sharded training, or of `save_pretrained`."""
    if (folder / FILE.format(0)).is_file():
        return _read_shards(folder, map_location)
    if (folder / DEEPSPEED).is_file():
        checkpoint = read_checkpoint_file(folder / DEEPSPEED, map_location)
        return checkpoint | dict(state_dict=checkpoint['module'])
    for name in HUB_FILES:
        if (folder / name).is_file():
            return read_checkpoint_file(folder / name, map_location)
        index = folder / f'{name}.index.json'
        if index.is_file():
            try:
                parts = sorted(set(json.loads(index.read_text())['weight_map'].values()))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise _damaged(str(index), error) from error
            state = OrderedDict()
            for part in parts:
                state.update(read_checkpoint_file(folder / Path(part).name, map_location))
            return state
    raise CheckpointNotFoundError(
        f'checkpoint {folder} is a folder without {" or ".join(HUB_FILES)}; name the file in it'
    )


def _read_shards(folder: Path, map_location: Any) -> dict[str, Any]:
    count = len(list(folder.glob(FILE.format('*'))))
    parts = [
        read_checkpoint_file(folder / FILE.format(rank), map_location) for rank in range(count)
    ]
    try:
        return join_shards(parts)
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f'checkpoint {folder} cannot be joined: {error}') from error


def unwrap(checkpoint: object) -> tuple[Mapping[str, Any], str]:
    """State dict within the containers of a checkpoint, and their keys joined by dots.

    Averaged weights (`state_dict_ema`, `model_ema`, `ema`) are preferred to those they average.
    mmengine's EMAHook has them in `state_dict`.
    """
    path = []
    while isinstance(checkpoint, Mapping):
        inner = (k for k in CONTAINERS if isinstance(checkpoint.get(k), Mapping) and checkpoint[k])
        key = next(inner, None)
        if key is None:
            break
        checkpoint = checkpoint[key]
        path.append(key)
    return (checkpoint if isinstance(checkpoint, Mapping) else {}), '.'.join(path)


CONTAINERS = ('state_dict_ema', 'model_ema', 'ema', 'state_dict', 'model', 'module')
