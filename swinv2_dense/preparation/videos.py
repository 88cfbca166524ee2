"""Check that videos are intact, and write smaller copies of them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from contextlib import closing
from multiprocessing.pool import ThreadPool
from pathlib import Path

from ..atomic_files import replacing
from ..errors import ConfigError
from .images import MISSING, File, FileError
from .report import ReportRow, progress
from .video_frames import FrameReader, NoVideoStreamError

MIN_FRAMES = 2  # VideoInit's default


def check_video(path: Path, _: File) -> int:
    """Check that the first and the last frame of a video can be decoded.

    Returns:
        The number of hidden frames in the file, see `video_frames`.

    Raises:
        FileError: They cannot be decoded, or the video is too short or too large.
    """
    av = _pyav()
    try:
        if not path.stat().st_size:
            raise FileError('empty', '0 bytes')
        with closing(FrameReader(str(path))) as reader:
            _check_frames(reader)
            return reader.index.held - reader.index.count
    except FileNotFoundError:
        raise FileError(MISSING) from None
    except NoVideoStreamError:
        raise FileError('no video stream') from None
    except ConfigError as error:
        raise FileError('too large', str(error)) from error
    except (av.error.FFmpegError, OSError) as error:
        raise FileError('broken', str(error)) from error


def resize(
    part: ReportRow, folder: Path, names: Sequence[str], target: Path, side: int, workers: int
):
    """Copy videos to `target` with FFmpeg, keeping their relative paths.

    A short side of more than `side` pixels is reduced to `side`; sound is dropped. Existing copies
    are kept. Results go to the report row `part`.

    Raises:
        ConfigError: ffmpeg is not installed.
    """
    ffmpeg = shutil.which('ffmpeg')
    if not ffmpeg:
        raise ConfigError(
            f'--resize={side} needs the program ffmpeg, which is not on PATH; install it (apt '
            'install ffmpeg, conda install ffmpeg), or omit --resize'
        )
    part.expected = len(names)

    def attempt(name: str) -> str | None:
        return _copy(ffmpeg, folder / name, target / name, side)

    with ThreadPool(workers) as pool:
        results = progress(pool.imap(attempt, names), part.name, len(names))
        for problem, name in zip(results, names):
            part.found += problem is None
            if problem is not None:
                part.fault('not resized', f'{name}: {problem}')


def _copy(ffmpeg: str, source: Path, target: Path, side: int) -> str | None:
    """The error message, or None."""
    if target.exists():
        return None
    target.parent.mkdir(parents=True, exist_ok=True)
    even = f'trunc(min({side},min(iw,ih))/2)*2'
    scale = f"scale=w='if(gt(iw,ih),-2,{even})':h='if(gt(iw,ih),{even},-2)'"
    quiet = ['-nostdin', '-loglevel', 'error', '-y']
    coding = ['-vf', scale, '-c:v', 'libx264', '-an']
    # Absolute paths, because FFmpeg treats a name that starts with a minus as an option.
    command = [ffmpeg, *quiet, '-i', str(source.absolute()), *coding]
    try:
        with replacing(target, durable=False, keep_suffix=True) as draft:
            command.append(str(draft.absolute()))
            subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603  no shell
    except subprocess.CalledProcessError as error:
        return (error.stderr.strip().splitlines() or [f'status {error.returncode}'])[-1]
    return None


def _check_frames(reader: FrameReader) -> None:
    index = reader.index
    if index.damage:
        raise FileError('broken', index.damage)
    if index.count < MIN_FRAMES:
        raise FileError('too short', f'{index.count} frames')
    ends = {0, index.count - 1}
    if reader.read(ends).keys() != ends:
        raise FileError('broken', 'its first or last frame cannot be decoded')


def _pyav():
    try:
        import av
    except ImportError as error:
        raise ConfigError('checking videos needs PyAV: pip install av') from error
    return av
