"""Read checkpoint files: weights and training states, and nothing that could run code.

The format is recognized by content, not by name: safetensors, or what `torch.save` writes.
"""

from __future__ import annotations

import io
import json
import os
import pickletools
import zipfile
from collections import OrderedDict, deque
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO, NamedTuple

import torch

from ..errors import CheckpointError, CheckpointNotFoundError
from .shards import FILE, join_shards
from .training_state import load_weights_and_training_state

HEADER = 'swinv2_dense'  # safetensors header entry with everything that is not a tensor, as JSON
HUB_FILES = ('model.safetensors', 'pytorch_model.bin')  # as transformers and timm name them


class Share(NamedTuple):
    """The part of a file that one of several processes verifies: every `of`-th checksum."""

    number: int
    of: int


ALL = Share(0, 1)


def read_checkpoint_file(
    path: str | os.PathLike, map_location: Any = None, mapped: bool = False, share: Share = ALL
) -> Any:
    """Read a checkpoint: a file, a folder of `save_pretrained`, or one of sharded training.

    Args:
        mapped: Map files into memory: values are on the CPU, and only read from disk when they are
            used. The file must not change until then. Files in torch's old format are read.
        share: Checksums that are verified.

    Returns:
        What `torch.save` was given. For safetensors: the tensors by name, or, if this package
        wrote the file, `dict(state_dict=..., meta=...)` as in a checkpoint of mmengine.

    Raises:
        CheckpointNotFoundError: There is no such file.
        CheckpointError: It is damaged, not readable, not a checkpoint, or holds anything that
            could run code, which is not executed.
    """
    path = Path(path).expanduser()
    try:
        if path.is_dir():
            return _read_folder(path, map_location, mapped, share)
        with path.open('rb') as file:
            return read_checkpoint(file, str(path), map_location, mapped, share)
    except FileNotFoundError as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointNotFoundError(f'checkpoint {path} does not exist') from None
    except OSError as error:
        raise CheckpointError(
            f'checkpoint {path} cannot be opened: {error.strerror or error}'
        ) from error


def read_checkpoint(
    file: BinaryIO,
    name: str,
    map_location: Any = None,
    mapped: bool = False,
    share: Share = ALL,
) -> Any:
    """Read an open file as `read_checkpoint_file` does; `name` is for messages."""
    head = file.read(64)
    file.seek(0)
    _refuse_other_files(head, name)
    if head[8:9] == b'{':
        return _read_safetensors(file, name, map_location)
    is_zip = head.startswith(b'PK')
    if is_zip:
        _check_zip(file, name, share)
    try:
        source = file.name if is_zip and mapped else file
        return load_weights_and_training_state(source, map_location)
    except UnpicklingError as error:
        # torch adds advice to load unsafely; the error that it wraps names the culprit.
        cause = str(error.__context__ or error).partition('. Please use')[0]
        cause = ' '.join(cause.partition('\n')[0].split())
        if not is_zip and not _are_pickles(file):
            raise _damaged(name, cause) from error
        raise CheckpointError(
            f'checkpoint {name} holds more than weights and the training state of mmengine, and '
            'reading it could run code from whoever made the file. If you trust them, load it '
            'once with torch.load(..., weights_only=False) and save only its state_dict. torch '
            f'refused: {cause}'
        ) from error
    except Exception as error:  # a damaged pickle can raise almost anything
        raise _damaged(name, error) from error


def _refuse_other_files(head: bytes, name: str) -> None:
    if not head:
        raise CheckpointError(f'checkpoint {name} is empty (0 bytes); download it again')
    if head.lstrip()[:1] == b'<':
        raise CheckpointError(
            f'checkpoint {name} is a web page, not weights: the server returned a page (a login, '
            'an error, or the page about the file). Download the file itself.'
        )
    if head.startswith(b'version https://git-lfs'):
        raise CheckpointError(
            f'checkpoint {name} is a Git LFS pointer, not the file; get the file with: git lfs pull'
        )


def _check_zip(file: BinaryIO, name: str, share: Share) -> None:
    """Refuse TorchScript, and verify checksums, which torch does not: it reads wrong weights."""
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = _first_damaged(archive, share)
            is_program = any(entry.endswith('/constants.pkl') for entry in archive.namelist())
    except Exception as error:  # a damaged header can raise almost anything
        raise _damaged(name, error) from error
    if damaged:
        raise _damaged(name, f'the checksum of {damaged}')
    if is_program:
        raise CheckpointError(
            f'checkpoint {name} is a TorchScript program, not weights; save the state_dict() of '
            'what torch.jit.load returns'
        )
    file.seek(0)


def _first_damaged(archive: zipfile.ZipFile, share: Share) -> str | None:
    """The first entry of a share whose checksum is wrong; `testzip` of `zipfile` reads all."""
    by_size = sorted(archive.infolist(), key=lambda entry: entry.file_size)  # for equal shares
    for entry in by_size[share.number :: share.of]:
        try:
            with archive.open(entry) as file:
                while file.read(2**20):
                    pass
        except zipfile.BadZipFile:
            return entry.filename
    return None


def _are_pickles(file: BinaryIO) -> bool:
    """Whether a file in torch's old format is intact, so that torch refused what is in it.

    The file starts with five pickles, and the raw values follow. Nothing is unpickled here.
    """
    file.seek(0)
    try:
        for _ in range(5):
            if not file.read(1):
                break
            file.seek(-1, os.SEEK_CUR)
            deque(pickletools.genops(file), maxlen=0)
    except Exception:  # a damaged pickle can raise almost anything
        return False
    return True


def _damaged(name: str, cause: object) -> CheckpointError:
    reason = ' '.join(str(cause).split())
    return CheckpointError(
        f'checkpoint {name} cannot be read: it is not a checkpoint, or incomplete or damaged. If '
        f'it was downloaded, delete it and download it again. Cause: {reason[:200]}'
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
        state: Any = OrderedDict(load_file(file.name) if on_disk else load(file.read()))
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


def _read_folder(folder: Path, map_location: Any, mapped: bool, share: Share) -> Any:
    """Join the files of a folder, written by sharded training or by `save_pretrained`."""
    if (folder / FILE.format(0)).is_file():
        return _read_shards(folder, map_location, mapped, share)
    for name in HUB_FILES:
        if (folder / name).is_file():
            return read_checkpoint_file(folder / name, map_location, mapped, share)
        index = folder / f'{name}.index.json'
        if index.is_file():
            try:
                parts = sorted(set(json.loads(index.read_text())['weight_map'].values()))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise _damaged(str(index), error) from error
            state: dict[str, Any] = OrderedDict()
            for part in parts:
                state.update(
                    read_checkpoint_file(folder / Path(part).name, map_location, mapped, share)
                )
            return state
    raise CheckpointNotFoundError(
        f'checkpoint {folder} is a folder without {" or ".join(HUB_FILES)}; give the file in it'
    )


def _read_shards(folder: Path, map_location: Any, mapped: bool, share: Share) -> dict[str, Any]:
    count = len(list(folder.glob(FILE.format('*'))))
    parts = [
        read_checkpoint_file(folder / FILE.format(rank), map_location, mapped, share)
        for rank in range(count)
    ]
    try:
        return join_shards(parts, when_used=mapped)
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f'checkpoint {folder} cannot be joined: {error}') from error


def unwrap(checkpoint: object) -> tuple[Mapping[str, Any], str]:
    """State dict within the containers of a checkpoint, and their keys joined by dots.

    Averaged weights (`state_dict_ema`, `model_ema`, `ema`) are preferred to the raw ones.
    mmengine's EMAHook stores them in `state_dict`.
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
