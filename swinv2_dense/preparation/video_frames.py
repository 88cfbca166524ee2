"""Count the frames of a video, and read them by index, with PyAV.

Containers often declare more frames than players show. `ffmpeg -ss 6.5 -t 2 -c copy` keeps the
frames since the last key frame and hides them with an edit list; a truncated download has fewer
frames than its index. So frames are counted by packets or, if packets are unreliable, by decoding.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import numpy as np

from ..checks.pixel_limit import check_pixels

# Containers in which a packet is a frame, with its time and a reliable key frame flag. In others,
# timestamps may restart (joined MPEG streams) or packets may have no frame (AVI).
INDEXED = ('mp4', 'matroska')
HIDDEN_FRAMES = ('vp8',)  # codecs with separate packets for frames that are never shown


class NoVideoStreamError(ValueError):
    """The file has no video stream, such as a sound file."""


class FrameIndex(NamedTuple):
    """What the packets of a video tell.

    Attributes:
        count: Frames that are shown.
        held: Frames in the file, including hidden ones.
        damage: Why the file has fewer frames than it should, or ''.
        times: Sorted timestamps of the shown frames; empty if they do not identify frames.
        keys: Indices of shown key frames, in order.
    """

    count: int
    held: int
    damage: str
    times: list[int]
    keys: list[int]


class _Packet(NamedTuple):
    time: int | None
    is_key: bool
    is_hidden: bool  # decoded, but not shown


class FrameReader:
    """A video, opened.

    Args:
        path: Of the video.
        content: Content of the file, if `path` is not local.

    Raises:
        NoVideoStreamError: It has no video stream.
        ConfigError: Its frames have too many pixels, see `check_pixels`.
        av.error.FFmpegError, OSError: It cannot be opened.
    """

    def __init__(self, path: str, content: bytes | None = None) -> None:
        self.path = path
        self.content = content
        self._open = ExitStack()
        try:
            self.container, self.stream = self._open.enter_context(open_video(path, content))
            self.shape = self.stream.height, self.stream.width  # as stored, before a rotation
            self.rate = self.stream.average_rate  # frames per second, a Fraction, or None
            self.index = self._read_index()
        except BaseException:
            self.close()
            raise

    def read(self, wanted: Collection[int]) -> dict[int, np.ndarray]:
        """Frames (H, W, 3), uint8, RGB, with rotation applied, by index.

        Frames that do not exist are omitted. Seeks to key frames if that is exact.
        """
        frames = self._read_by_time(set(wanted)) if self.index.times else None
        return self._read_in_turn(set(wanted)) if frames is None else frames

    def close(self) -> None:
        self._open.close()

    def _read_index(self) -> FrameIndex:
        import av

        packets, damage, is_reliable = [], '', True
        try:
            for p in self.container.demux(self.stream):
                if p.size:
                    is_reliable &= not p.is_corrupt
                    packets.append(_Packet(p.pts, p.is_keyframe, p.is_discard))
        except av.error.FFmpegError as error:
            damage = str(error)
        kind, held = self.container.format.name, len(packets)
        if 'mp4' in kind and held < self.stream.frames:  # in an AVI, the number includes gaps
            damage = f'it ends after {held} of {self.stream.frames} frames'
        shown = [packet for packet in packets if not packet.is_hidden]
        times = sorted(packet.time for packet in shown if packet.time is not None)
        if (
            damage
            or not is_reliable
            or not any(name in kind for name in INDEXED)
            or self.stream.codec.name in HIDDEN_FRAMES
            or self.stream.frames not in (0, held)
            or not (packets and packets[0].is_key)
            or not len(shown) == len(times) == len(set(times))
        ):
            count, error = self._decode_all()
            return FrameIndex(count, held, damage or error, [], [])
        place = {time: i for i, time in enumerate(times)}
        keys = sorted(place[packet.time] for packet in shown if packet.is_key)
        return FrameIndex(len(shown), held, '', times, keys)

    def _decode_all(self) -> tuple[int, str]:
        """Number of frames up to the first error, and that error."""
        import av

        count = 0
        with open_video(self.path, self.content) as (container, stream):
            try:
                for _ in container.decode(stream):
                    count += 1
            except av.error.FFmpegError as error:
                return count, str(error)
        return count, ''

    def _read_in_turn(self, wanted: set[int]) -> dict[int, np.ndarray]:
        frames: dict[int, np.ndarray] = {}
        with open_video(self.path, self.content) as (container, stream):
            for i, frame in zip(range(max(wanted) + 1), container.decode(stream)):
                if i in wanted:
                    frames[i] = _pixels(frame, self.path)
        return frames

    def _read_by_time(self, wanted: set[int]) -> dict[int, np.ndarray] | None:
        """See `read`. None if the frames after a seek are not the expected ones.

        A key frame flag may mark a gradual refresh, after which the first frames are inexact; so
        decoding must start with an intact I-frame at the expected time.
        """
        _, _, _, times, keys = self.index
        place = {time: i for i, time in enumerate(times)}
        frames: dict[int, np.ndarray] = {}
        decoded, last = None, -1
        for target in sorted(wanted):
            start = keys[at - 1] if (at := bisect_right(keys, target)) else 0
            if decoded is None or start > last:
                self.container.seek(times[start], stream=self.stream)
                decoded, first = self.container.decode(self.stream), start
            for frame in decoded:
                last = place.get(frame.pts, -1)
                if first is not None:
                    if last != first or (start in keys and not _is_intact_key(frame)):
                        return None
                    first = None
                if last in wanted:
                    frames[last] = _pixels(frame, self.path)
                if last >= target:
                    break
            if first is not None:
                return None
        return frames


@contextmanager
def open_video(path: str, content: bytes | None = None) -> Iterator[tuple[Any, Any]]:
    """PyAV's container of a video, before its first packet, and its video stream.

    Takes the arguments of `FrameReader` and raises the same errors.
    """
    import av

    # A file object, because FFmpeg treats paths like `a:b.mp4` as URLs and follows playlists.
    with (
        open(path, 'rb') if content is None else io.BytesIO(content) as file,
        av.open(file) as container,
    ):
        stream = container.streams.best('video')
        if stream is None:
            raise NoVideoStreamError('it has no video, only other streams')
        check_pixels(stream.width, stream.height, path)
        yield container, stream


def iter_frames(path: str) -> Iterator[np.ndarray]:
    """All frames of a video in order, see `FrameReader.read`; raises the errors of FrameReader."""
    with open_video(path) as (container, stream):
        for frame in container.decode(stream):
            yield _pixels(frame, path)


def _pixels(frame: Any, path: str) -> np.ndarray:
    check_pixels(frame.width, frame.height, path)  # the size may differ from the header
    turned = np.rot90(frame.to_ndarray(format='rgb24'), frame.rotation // 90)
    return np.ascontiguousarray(turned)


def _is_intact_key(frame: Any) -> bool:
    from av.video.frame import PictureType

    return frame.key_frame and frame.pict_type == PictureType.I and not frame.is_corrupt
