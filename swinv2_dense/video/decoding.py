"""Open and decode videos with PyAV, decord or OpenCV.

All three return the same frames, bit for bit for H.264 and VP9, also with variable frame rates, the
rotation that phones write, edit lists that hide frames, and truncated files (test_decoding.py,
test_frame_counts.py). mmaction2's `DecordInit` does not: it counts hidden frames, and decord 0.6.0
repeats frames or hangs when frames that do not exist are requested.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np
from mmaction.datasets.transforms import DecordDecode, DecordInit, OpenCVDecode, OpenCVInit
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform
from mmengine import fileio
from mmengine.logging import print_log

from ..checks.pixel_limit import check_pixels
from ..errors import ConfigError
from ..preparation.video_frames import FrameReader
from ..resilience.deadline import call_with_deadline

TIMEOUT = 60.0  # seconds
SECONDS_PER_FRAME = 0.25  # added for each requested frame; decoding one usually takes 0.002
MAX_GIB = 8.0
warned: set[str] = set()


class CountingPyAVInit(BaseTransform):
    """Open a video with PyAV; `video_reader` is a FrameReader."""

    def __init__(self, io_backend: str = 'disk', **kwargs: Any) -> None:
        is_local = io_backend == 'disk'
        self.backend_args = None if is_local else dict(backend=io_backend, **kwargs)

    def transform(self, results: dict) -> dict:
        path = results['filename']
        content = self.backend_args and bytes(fileio.get(path, self.backend_args))
        reader = FrameReader(path, content)
        index = reader.index
        if index.damage and index.count:
            _warn_once(
                'damaged',
                f'{path} is damaged: {index.damage}. Its first {index.count} frames are used; '
                'other damaged videos are treated the same way without a warning',
            )
        return results | dict(
            video_reader=reader,
            total_frames=index.count,
            avg_fps=float(reader.rate or 0),
            frame_shape=reader.shape,
        )


class ExactPyAVDecode(BaseTransform):
    """Decode the requested frames with PyAV, and keep no others."""

    def transform(self, results: dict) -> dict:
        wanted = results['frame_inds'].tolist()
        reader = results['video_reader']
        try:
            return _with_frames(results, wanted, reader.read(wanted))
        finally:
            reader.close()


class CheckedDecordInit(DecordInit):
    """mmaction2's `DecordInit`, with an error for files that decord gets wrong.

    decord counts every packet as a frame. For videos with a rotation of 90 degrees it returns rows
    with their padding, as pixels of four channels.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        has_pyav = find_spec('av') is not None
        self.counter = (CountingPyAVInit if has_pyav else CountingOpenCVInit)(
            io_backend=self.io_backend, **self.kwargs
        )

    def transform(self, results: dict) -> dict:
        count = self._count(results)
        results = super().transform(results)
        if results['total_frames'] != count:
            raise ValueError(f'decord counts {results["total_frames"]} frames, not {count}')
        results['frame_shape'] = results['video_reader'][0].shape[:2]
        if results['video_reader'][0].shape[2] != 3:
            raise ValueError('decord cannot rotate a video by 90 degrees')
        return results

    def _count(self, results: dict) -> int:
        """Number of frames, without opening files on which decord may hang."""
        opened = self.counter(dict(results))
        reader = opened['video_reader']
        if not isinstance(reader, FrameReader):
            return opened['total_frames']
        reader.close()
        index = reader.index
        if not index.times:
            raise ValueError('decord cannot rely on its packets')
        if index.held != index.count:
            raise ValueError(f'decord counts {index.held} frames, not {index.count}')
        return index.count


class CountingOpenCVInit(OpenCVInit):
    """mmaction2's `OpenCVInit`, with the true number of frames, and `avg_fps`.

    OpenCV computes its count from duration and frame rate. Upstream seeks for every frame, and
    steps back one by one from each that is missing.
    """

    def transform(self, results: dict) -> dict:
        results = super().transform(results)
        counted = cv2.VideoCapture(results['new_path'])
        size = [int(counted.get(k)) for k in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)]
        check_pixels(*size, results['filename'])
        results['frame_shape'] = size[1], size[0]
        results['total_frames'] = sum(1 for _ in iter(counted.grab, False))
        results['avg_fps'] = counted.get(cv2.CAP_PROP_FPS)
        results['video_reader'] = cv2.VideoCapture(results['new_path'])
        results['video_reader'].set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
        return results


class SequentialOpenCVDecode(OpenCVDecode):
    """mmaction2's `OpenCVDecode`, reading from the first frame without seeking."""

    def transform(self, results: dict) -> dict:
        wanted = results['frame_inds'].tolist()
        frames: dict[int, np.ndarray] = {}
        capture = results['video_reader']
        for i in range(max(wanted) + 1):
            if not capture.grab():
                break
            if i in wanted:
                frames[i] = cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB)
        return _with_frames(results, wanted, frames)


DECODERS = {  # module, and what opens and what decodes; in order of preference
    'pyav': ('av', CountingPyAVInit, ExactPyAVDecode),
    'decord': ('decord', CheckedDecordInit, DecordDecode),
    'opencv': ('cv2', CountingOpenCVInit, SequentialOpenCVDecode),
}
INSTALL = 'install one with "pip install av"'


@TRANSFORMS.register_module()
class VideoInit(BaseTransform):
    """Open a video; replaces `DecordInit`.

    Required keys: `filename`. Added keys: `video_reader`, `video_decoder`, `total_frames` (as shown
    by players), `avg_fps`, `frame_shape` (H, W, before rotation).

    Args:
        decoder: 'pyav', 'decord', 'opencv', or 'auto': PyAV, else decord, else OpenCV, whichever is
            installed. Files that decord gets wrong (frames hidden by an edit list, joined MPEG
            streams, AV1, rotation by 90 degrees) are decoded with PyAV or, if it is not installed,
            with OpenCV, which is logged once.
        min_frames: Videos with fewer frames are an error. `SampleFrames` repeats the frames of
            videos that are shorter than a clip; a single frame has no motion.
        timeout: Seconds to open the video and count its frames, which requires decoding them all
            unless it is an mp4, mov, mkv or webm.
        io_backend: File backend, with `kwargs` for it, as for `DecordInit`.

    Raises:
        ValueError: There is no such decoder; or in `transform`, the video is broken or too short,
            or takes longer than `timeout`.
        ConfigError: In `transform`, frames have too many pixels, see `checks.pixel_limit`.
        ImportError: No decoder is installed.
    """

    def __init__(
        self,
        decoder: str = 'auto',
        min_frames: int = 2,
        timeout: float = TIMEOUT,
        io_backend: str = 'disk',
        **kwargs: Any,
    ) -> None:
        self.min_frames = min_frames
        self.timeout = _checked_timeout('VideoInit', timeout)
        self.openers = {
            name: DECODERS[name][1](io_backend=io_backend, **kwargs)
            for name in select_decoders(decoder)
        }

    def transform(self, results: dict) -> dict:
        path = results['filename']
        reasons = []
        for name, opener in self.openers.items():
            try:
                opened = _in_time('VideoInit', self.timeout, self.timeout, name, opener, results)
                break
            except ConfigError:  # names the file
                raise
            except Exception as error:
                reasons.append(f'{name}: {_first_line(error)}')
        else:
            raise ValueError(f'{path} is not a video: {"; ".join(reasons)}')
        if reasons:
            _warn_once('fallback', f'{reasons[0]}: decoding {path} and similar files with {name}')
        count = opened['total_frames']
        if count < self.min_frames:
            raise ValueError(f'{path} has {count} frames, fewer than min_frames={self.min_frames}')
        opened['video_decoder'] = name
        return opened

    def __repr__(self) -> str:
        return (
            f'VideoInit(decoder={list(self.openers)}, min_frames={self.min_frames}, '
            f'timeout={self.timeout:g})'
        )


@TRANSFORMS.register_module()
class VideoDecode(BaseTransform):
    """Decode the frames `frame_inds` with the decoder that `VideoInit` chose.

    Required keys: `video_reader`, `video_decoder`, `frame_shape`, `frame_inds`. Added keys: `imgs`
    (arrays (H, W, 3), uint8, RGB), `original_shape`, `img_shape` (H, W).

    Args:
        timeout: Decoding fails after this many seconds, plus 0.25 for each requested frame.
        max_gib: Limit for the memory of the requested frames in GiB, each counted once.

    Raises:
        ValueError: A frame cannot be decoded, or not in time.
        ConfigError: The frames exceed `max_gib`.
    """

    def __init__(self, timeout: float = TIMEOUT, max_gib: float = MAX_GIB) -> None:
        self.timeout = _checked_timeout('VideoDecode', timeout)
        self.max_gib = max_gib
        self.decoders = {name: decode() for name, (_, _, decode) in DECODERS.items()}

    def transform(self, results: dict) -> dict:
        path, name = results['filename'], results.pop('video_decoder')
        # Upstream squeezes a single index to 0-d, which crashes decord.
        results['frame_inds'] = np.reshape(results['frame_inds'], -1)
        self._check_memory(path, len(np.unique(results['frame_inds'])), results.pop('frame_shape'))
        seconds = self.timeout + SECONDS_PER_FRAME * len(results['frame_inds'])
        try:
            decode = self.decoders[name]
            return _in_time('VideoDecode', self.timeout, seconds, name, decode, results)
        except ConfigError:
            raise
        except Exception as error:
            reason = f'{name}: {_first_line(error)}'
            raise ValueError(f'{path} cannot be decoded: {reason}') from error

    def _check_memory(self, path: str, count: int, shape: tuple[int, int]) -> None:
        height, width = shape
        gib = count * height * width * 3 / 2**30
        if gib > self.max_gib:
            raise ConfigError(
                f'{path}: {count} frames of {width} x {height} pixels take {gib:.1f} GiB, more '
                f'than max_gib={self.max_gib:g} of VideoDecode; shrink the video, use fewer views, '
                'or raise max_gib'
            )

    def __repr__(self) -> str:
        return f'VideoDecode(timeout={self.timeout:g}, max_gib={self.max_gib:g})'


def select_decoders(decoder: str) -> list[str]:
    """The names in `DECODERS` to try in turn, see `VideoInit`."""
    if decoder != 'auto' and decoder not in DECODERS:
        raise ValueError(f'decoder={decoder!r} is unknown; choose one of {["auto", *DECODERS]}')
    installed = [name for name, (module, *_) in DECODERS.items() if find_spec(module)]
    chosen = next((name for name in installed if decoder in ('auto', name)), None)
    if chosen is None:
        missing = 'av, decord or cv2' if decoder == 'auto' else DECODERS[decoder][0]
        raise ImportError(f'decoder={decoder!r} needs the module {missing}; {INSTALL}')
    others = [name for name in installed if name != 'decord']
    return [chosen, *others[:1]] if chosen == 'decord' else [chosen]


def _in_time(
    transform: str, timeout: float, seconds: float, name: str, step: Callable, results: dict
) -> dict:
    """`step(results)`, unless it takes longer than `seconds`."""
    try:
        return call_with_deadline(
            lambda: step(dict(results)), seconds, f'{name} on {results["filename"]}'
        )
    except TimeoutError as error:
        raise ValueError(f'{error} (timeout={timeout:g} of {transform})') from error


def _checked_timeout(transform: str, timeout: float) -> float:
    if not timeout > 0:
        raise ValueError(f'timeout={timeout!r} of {transform} must be a positive number of seconds')
    return timeout


def _warn_once(kind: str, message: str) -> None:
    """Log a warning of each kind once per process."""
    if kind not in warned:
        warned.add(kind)
        print_log(message, logger='current', level=logging.WARNING)


def _with_frames(results: dict, wanted: list[int], frames: dict[int, np.ndarray]) -> dict:
    missing = sorted(set(wanted) - set(frames))
    if missing:
        raise ValueError(f'frames {missing[:3]} of {results["total_frames"]} are missing')
    shapes = sorted({frame.shape[:2] for frame in frames.values()})
    if len(shapes) > 1:
        raise ValueError(f'its frames have several sizes (H, W): {shapes[:3]}')
    results['video_reader'] = None
    results['imgs'] = [frames[i] for i in wanted]
    results['original_shape'] = results['img_shape'] = shapes[0]
    return results


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
