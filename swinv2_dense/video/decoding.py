"""Open and decode videos with whichever of decord, PyAV and OpenCV is installed.

The three give the same frames, bit for bit, for whole files, also with a variable frame rate and
with the turn that phones write (tests/test_decoding.py). They differ at the end of a file that was
cut: decord and PyAV raise an error where an index promises more (mp4), OpenCV reads a shorter
video.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np
from mmaction.datasets.transforms import (
    DecordDecode,
    DecordInit,
    OpenCVDecode,
    OpenCVInit,
    PyAVDecode,
    PyAVInit,
)
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform


class CheckedDecordInit(DecordInit):
    """mmaction2's, which also decodes the first frame.

    decord 0.6.0 returns rows with their padding, as pixels of four channels, for videos that are
    to be shown turned by 90 degrees.
    """

    def transform(self, results: dict) -> dict:
        results = super().transform(results)
        if results['video_reader'][0].shape[2] != 3:
            raise ValueError('decord cannot turn a video by 90 degrees')
        return results


class CountingPyAVInit(PyAVInit):
    """mmaction2's, with a frame count for every container, and `avg_fps`.

    Matroska states no count (upstream takes it as 0 and fails), and AVI one that includes gaps.
    """

    def transform(self, results: dict) -> dict:
        try:
            container = super().transform(results)['video_reader']
        except IndexError as error:
            raise ValueError('it holds no video stream') from error
        stream = container.streams.video[0]
        packets = container.demux(stream)
        results['total_frames'] = sum(bool(p.size) and not p.is_discard for p in packets)
        results['avg_fps'] = float(stream.average_rate or 0)
        container.seek(stream.start_time or 0, stream=stream)
        return results


class ExactPyAVDecode(PyAVDecode):
    """mmaction2's accurate mode: keeps only the frames asked for, turned as they are to be shown.

    Upstream converts and keeps all frames up to the last, and takes others for those that are
    missing.
    """

    def transform(self, results: dict) -> dict:
        wanted = results['frame_inds'].tolist()
        frames: dict[int, np.ndarray] = {}
        with results['video_reader'] as container:
            for i, frame in zip(range(max(wanted) + 1), container.decode(video=0)):
                if i in wanted:
                    turned = np.rot90(frame.to_ndarray(format='rgb24'), frame.rotation // 90)
                    frames[i] = np.ascontiguousarray(turned)
        return _with_frames(results, wanted, frames)


class CountingOpenCVInit(OpenCVInit):
    """mmaction2's, with a count of the frames that there are, and `avg_fps`.

    OpenCV derives its count from duration and frame rate. Upstream seeks for every frame, and
    walks back one by one from each that is missing.
    """

    def transform(self, results: dict) -> dict:
        results = super().transform(results)
        counted = cv2.VideoCapture(results['new_path'])
        results['total_frames'] = sum(1 for _ in iter(counted.grab, False))
        results['avg_fps'] = counted.get(cv2.CAP_PROP_FPS)
        results['video_reader'] = cv2.VideoCapture(results['new_path'])
        results['video_reader'].set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
        return results


class SequentialOpenCVDecode(OpenCVDecode):
    """mmaction2's, from the first frame on without seeking."""

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


DECODERS = {  # module, and what opens and what decodes; in the order of choice
    'decord': ('decord', CheckedDecordInit, DecordDecode),
    'pyav': ('av', CountingPyAVInit, ExactPyAVDecode),
    'opencv': ('cv2', CountingOpenCVInit, SequentialOpenCVDecode),
}
INSTALL = 'install one by "pip install decord" (Linux on x86_64) or "pip install av"'


@TRANSFORMS.register_module()
class VideoInit(BaseTransform):
    """Open a video, in the place of `DecordInit`.

    Required keys: `filename`. Added keys: `video_reader`, `video_decoder`, `total_frames`,
    `avg_fps`.

    Args:
        decoder: 'decord', 'pyav', 'opencv', or 'auto': decord, and PyAV for the files that decord
            cannot open (AV1; turned by 90 degrees); one of them where the other is not installed;
            OpenCV where neither is.
        min_frames: Videos of fewer frames are an error. `SampleFrames` repeats the frames of
            videos that are shorter than a clip; a single frame has no motion.
        io_backend: Where files lie, with `kwargs` for it, as `DecordInit` takes it.

    Raises:
        ValueError: No such decoder; or in `transform`, the video is broken or too short.
        ImportError: No decoder is installed.
    """

    def __init__(
        self,
        decoder: str = 'auto',
        min_frames: int = 2,
        io_backend: str = 'disk',
        **kwargs: Any,
    ) -> None:
        self.min_frames = min_frames
        self.openers = {
            name: DECODERS[name][1](io_backend=io_backend, **kwargs) for name in choose(decoder)
        }

    def transform(self, results: dict) -> dict:
        reasons = []
        for name, opener in self.openers.items():
            try:
                results = opener(results)
                break
            except Exception as error:
                reasons.append(f'{name}: {_first_line(error)}')
        else:
            raise ValueError(f'{results["filename"]} is no video: {"; ".join(reasons)}')
        count = results['total_frames']
        if count < self.min_frames:
            raise ValueError(
                f'{results["filename"]} has {count} frames, fewer than min_frames={self.min_frames}'
            )
        results['video_decoder'] = name
        return results

    def __repr__(self) -> str:
        return f'VideoInit(decoder={list(self.openers)}, min_frames={self.min_frames})'


@TRANSFORMS.register_module()
class VideoDecode(BaseTransform):
    """Decode the frames of `frame_inds`, with what `VideoInit` opened the video with.

    Required keys: `video_reader`, `video_decoder`, `frame_inds`. Added keys: `imgs` (arrays (H, W,
    3), uint8, RGB), `original_shape`, `img_shape` (H, W).

    Raises:
        ValueError: A frame cannot be decoded.
    """

    def __init__(self) -> None:
        self.decoders = {name: decode() for name, (_, _, decode) in DECODERS.items()}

    def transform(self, results: dict) -> dict:
        name = results.pop('video_decoder')
        # Upstream squeezes one index to no dimension, which ends the process within decord.
        results['frame_inds'] = np.reshape(results['frame_inds'], -1)
        try:
            return self.decoders[name](results)
        except Exception as error:
            reason = f'{name}: {_first_line(error)}'
            raise ValueError(f'{results["filename"]} cannot be decoded: {reason}') from error


def choose(decoder: str) -> list[str]:
    """The names in `DECODERS` to try in turn, see `VideoInit`."""
    if decoder != 'auto' and decoder not in DECODERS:
        raise ValueError(f"decoder={decoder!r} is unknown; choose 'auto' or of {list(DECODERS)}")
    installed = [name for name, (module, *_) in DECODERS.items() if find_spec(module)]
    chosen = [name for name in installed if decoder in ('auto', name)]
    if not chosen:
        missing = 'decord, av or cv2' if decoder == 'auto' else DECODERS[decoder][0]
        raise ImportError(f'decoder={decoder!r} needs the module {missing}; {INSTALL}')
    return chosen if chosen == ['opencv'] else [name for name in chosen if name != 'opencv']


def _with_frames(results: dict, wanted: list[int], frames: dict[int, np.ndarray]) -> dict:
    missing = sorted(set(wanted) - set(frames))
    if missing:
        raise ValueError(f'frames {missing[:3]} are missing of {results["total_frames"]}')
    results['video_reader'] = None
    results['imgs'] = [frames[i] for i in wanted]
    results['original_shape'] = results['img_shape'] = results['imgs'][0].shape[:2]
    return results


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
