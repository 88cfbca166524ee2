"""Find a checkpoint by path, URL or `hf://owner/name`, and download it if needed."""

from __future__ import annotations

import hashlib
import io
import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlparse

import torch
from mmengine import fileio
from mmengine.runner import CheckpointLoader

from ..atomic_files import replacing
from ..checks.result_cache import file_digest
from ..errors import CheckpointError, CheckpointNotFoundError
from .download_lock import download_once
from .reading import HUB_FILES, Share, read_checkpoint, read_checkpoint_file

HF = 'hf://'
TIMEOUT = 60.0  # seconds without data after which a download fails
# Start of a sha256 at the end of a file name; 20240131 is a date.
CHECKSUM = re.compile(r'-(?!20\d{6}\.)([0-9a-f]{8,64})\.')
OFFICIAL = 'https://github.com/SwinTransformer/storage/'


@dataclass
class LocalCheckpoint:
    """A local checkpoint: the name the user gave, its file, and the config.json next to it."""

    name: str
    path: Path
    config: dict = field(default_factory=dict)


def is_remote(name: str) -> bool:
    """Whether `fetch` would download it."""
    return name.startswith((HF, 'http://', 'https://'))


def fetch(name: str, cache: Path | None = None, progress: bool = True) -> LocalCheckpoint:
    """Local copy of a checkpoint.

    If several processes need it, one of them (per machine, or per shared cache) downloads it while
    the others wait. If the download fails, they all raise the same error.

    Args:
        name: Path of a file, or of a folder written by `save_pretrained`; an http(s) URL; or
            `hf://owner/name`, optionally with `@revision` and the path of a file in it.
        cache: Folder for downloads by URL; torch hub's by default.

    Raises:
        CheckpointNotFoundError: There is no such file, locally or at the address.
        CheckpointError: It cannot be downloaded, or is not a checkpoint.
    """
    if name.startswith(HF):
        path = _from_hub_in_turn(name)
    elif name.startswith(('http://', 'https://')):
        path = _from_url(name, cache or Path(torch.hub.get_dir()) / 'checkpoints', progress)
    else:
        path = Path(name).expanduser()
    return LocalCheckpoint(name, path, _config_beside(path))


def load_from_path(filename: str, map_location: Any = None) -> Any:
    """mmengine's loader of local files and of `hf://`."""
    return read_checkpoint_file(fetch(filename).path, map_location)


def load_from_http(
    filename: str, map_location: Any = None, model_dir: str | None = None, progress: bool = True
) -> Any:
    """mmengine's loader of URLs."""
    path = fetch(filename, Path(model_dir) if model_dir else None, progress).path
    return read_checkpoint_file(path, map_location)


def map_checkpoint(source: str, share: Share) -> Any:
    """`read_checkpoint_file` of a path, URL or `hf://`, mapped into memory where possible."""
    if '://' in source and not source.startswith((HF, 'http://', 'https://')):
        return CheckpointLoader.load_checkpoint(source, map_location='cpu')
    return read_checkpoint_file(fetch(source).path, 'cpu', mapped=True, share=share)


def load_from_backend(filename: str, map_location: Any = None) -> Any:
    """mmengine's loader of object storage (s3, petrel, pavi), through its file backends."""
    try:
        data = fileio.get(filename)
    except Exception as error:  # backends have their own errors, and may be missing
        raise CheckpointError(f'checkpoint {filename} could not be read: {error!r}') from error
    return read_checkpoint(io.BytesIO(data), filename, map_location)


def _config_beside(path: Path) -> dict:
    """The config.json that transformers and timm store next to weights."""
    folder = path if path.is_dir() else path.parent
    if not path.is_dir() and path.name not in HUB_FILES:
        return {}
    try:
        config = json.loads((folder / 'config.json').read_text())
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


# ----------------------------------------------------------------------------------------- by URL


def _from_url(url: str, cache: Path, progress: bool) -> Path:
    path = cache / _cache_name(url)
    if not path.is_file():
        with _explained(url, path):
            cache.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(f'.{path.name}.lock')
        download_once(url, lock, path.is_file, lambda: _download(url, path, progress))
    checksum = CHECKSUM.search(path.name)  # verifies files that were copied there, too
    if checksum and not file_digest(path).startswith(checksum[1]):
        raise CheckpointError(
            f'the sha256 of checkpoint {path}, downloaded from {url}, does not match its name; '
            'delete it and download it again'
        )
    return path


def _cache_name(url: str) -> str:
    """File name of the URL, as in torch hub if it is unique, else with a hash of the URL."""
    name = Path(unquote(urlparse(url).path)).name
    if url.startswith(OFFICIAL) or CHECKSUM.search(name):
        return name
    return f'{hashlib.sha256(url.encode()).hexdigest()[:8]}_{name or "checkpoint"}'


def _download(url: str, path: Path, progress: bool) -> None:
    """Download to `path`, which appears only when it is complete and readable."""
    checksum = CHECKSUM.search(path.name)
    with _explained(url, path), replacing(path) as draft:
        with _socket_timeout():
            torch.hub.download_url_to_file(url, str(draft), checksum and checksum[1], progress)
        with draft.open('rb') as file:
            read_checkpoint(file, url, map_location='cpu')


@contextmanager
def _explained(url: str, path: Path) -> Iterator[None]:
    """Turn the errors of a download into a CheckpointError that says what to do instead."""
    by_hand = f'Download it yourself and save it as {path}, or give the path of the file instead.'
    try:
        yield
    except CheckpointError:  # a ValueError, raised for a file that came but is no checkpoint
        raise
    except RuntimeError as error:  # raised by torch for a wrong checksum
        raise CheckpointError(
            f'the sha256 of {url} does not match its name, so the download was discarded: {error}. '
            f'{by_hand}'
        ) from error
    except (URLError, HTTPException, OSError, ValueError) as error:
        reason = error if isinstance(error, HTTPError) else getattr(error, 'reason', error)
        raise CheckpointError(f'{url} could not be downloaded: {reason}. {by_hand}') from error


@contextmanager
def _socket_timeout() -> Iterator[None]:
    """Set a timeout: torch opens URLs without one, and other processes may wait for this one."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


# ----------------------------------------------------------------------- from the Hugging Face hub


def _from_hub_in_turn(name: str) -> Path:
    """`_from_hub`, in one process at a time; if it fails, waiting processes raise its error."""
    found: list[Path] = []
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    lock = Path(torch.hub.get_dir()) / f'.hf-{digest}.lock'
    download_once(name, lock, lambda: False, lambda: found.append(_from_hub(name)))
    return found[0]


def _from_hub(name: str) -> Path:
    """hf://owner/name[@revision][/file]; huggingface_hub caches and verifies the files."""
    match = re.fullmatch(r'hf://([^/@]+/[^/@]+)(?:@([^/]+))?(?:/(.+))?', name)
    if match is None:
        raise CheckpointError(
            f'checkpoint {name!r}: write hf://owner/name, hf://owner/name@revision or '
            'hf://owner/name/file.pth'
        )
    repo, revision, file = match.groups()
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
    except ImportError:
        raise CheckpointError(
            f'checkpoint {name}: hf:// needs huggingface_hub: pip install huggingface_hub'
        ) from None
    files = (file,) if file else HUB_FILES
    reason: Exception | None = None
    for candidate in files:
        try:
            path = Path(hf_hub_download(repo, candidate, revision=revision))
        except LocalEntryNotFoundError as error:  # offline; another candidate may be cached
            reason = error
        except EntryNotFoundError:
            continue
        except Exception as error:  # HTTP, authentication, an invalid name, ...
            reason = error
            break
        else:
            if candidate in HUB_FILES:
                _download_config(hf_hub_download, repo, revision)
            return path
    if reason is None:
        raise CheckpointNotFoundError(f'checkpoint {name}: no {" or ".join(files)} in {repo}')
    raise CheckpointError(
        f'checkpoint {name} could not be downloaded: {" ".join(str(reason).split())[:200]} '
        f'Download https://huggingface.co/{repo}/resolve/{revision or "main"}/{files[0]} yourself, '
        'with config.json in the same folder, and give the path of the file instead.'
    ) from reason


def _download_config(download: Any, repo: str, revision: str | None) -> None:
    """config.json has the pretrained windows; without it, they come from the name or the user."""
    try:
        download(repo, 'config.json', revision=revision)
    except Exception:  # missing or unreachable; loading complains if it is needed
        return
