"""Small videos that tests write: h264 by PyAV, whole and broken."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

TURNS = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}  # clockwise: a, b, c, d


def write_clip(
    path: Path,
    num_frames: int = 12,
    size: tuple[int, int] = (48, 64),
    times: Sequence[int] | None = None,
    codec: str = 'h264',
    options: dict | None = None,
    pix_fmt: str = 'yuv420p',
) -> Path:
    """A bar that moves right over a green upper half.

    Args:
        path: Its ending names the container.
        num_frames: Number of frames.
        size: Pixels, H and W.
        times: Of each frame, in hundredths of a second (default: ten frames in a second).
        codec: Of FFmpeg.
        options: Of the container.
        pix_fmt: Of the frames in the file, as FFmpeg names it.
    """
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = size
    with av.open(str(path), 'w', options=options or {}) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.time_base = Fraction(1, 100)
        for i in range(num_frames):
            pixels = np.zeros((height, width, 3), np.uint8)
            pixels[: height // 2, :, 1] = 200
            pixels[:, 3 * i : 3 * i + 12, 2] = 180
            frame = av.VideoFrame.from_ndarray(pixels, format='rgb24')
            frame.pts = times[i] if times else 10 * i
            frame.time_base = Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_sound(path: Path) -> Path:
    """Half a second of silence without pictures."""
    import av

    with av.open(str(path), 'w') as container:
        stream = container.add_stream('aac', rate=44100)
        for i in range(20):
            silence = np.zeros((1, 1024), np.float32)
            frame = av.AudioFrame.from_ndarray(silence, format='fltp', layout='mono')
            frame.rate, frame.pts = 44100, 1024 * i
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_cut(path: Path, kept: float = 0.5) -> Path:
    """An mp4 whose index is whole, but whose frames end early, as after a broken download."""
    write_clip(path, 40, (96, 128), options={'movflags': 'faststart'})
    data = path.read_bytes()
    start = data.index(b'mdat')  # after the index
    path.write_bytes(data[: start + round(kept * (len(data) - start))])
    return path


def turn(path: Path, degrees: int) -> Path:
    """Set the turn with which an mp4 is to be shown, clockwise, as phones write it."""
    data = bytearray(path.read_bytes())
    a, b, c, d = (value << 16 for value in TURNS[degrees])
    start = data.index(b'tkhd') + 44  # the matrix of the track header, ISO 14496-12
    data[start : start + 36] = struct.pack('>9i', a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def trim(source: Path, path: Path, first: int, last: int) -> Path:
    """Frames `first` to `last` without encoding again, as `ffmpeg -ss -t -c copy` cuts.

    The packets since the key frame before stay in the file: their times are negative, and the
    muxer of mp4 writes an edit list that hides them.
    """
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(source)) as old, av.open(str(path), 'w') as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        packets = [p for p in old.demux(old.streams.video[0]) if p.size]
        times = sorted(p.pts for p in packets)
        key = max(p.pts for p in packets if p.is_keyframe and p.pts <= times[first])
        for packet in packets:
            if key <= packet.pts <= times[last]:
                packet.pts, packet.dts = packet.pts - times[first], packet.dts - times[first]
                packet.stream = stream
                new.mux(packet)
    return path


def write_trimmed(path: Path, hidden: int = 20, shown: int = 7) -> Path:
    """A clip of `hidden + shown` frames whose edit list hides the first."""
    whole = write_clip(path.with_name(f'whole_{path.name}'), hidden + shown)
    return trim(whole, path, hidden, hidden + shown - 1)


def write_with_sound(path: Path, num_frames: int = 12, seconds: int = 3) -> Path:
    """Pictures for `num_frames / 10` seconds, and silence that goes on after them."""
    import av

    pictures = write_clip(path.with_name(f'silent_{path.name}'), num_frames)
    with av.open(str(pictures)) as old, av.open(str(path), 'w') as container:
        picture = container.add_stream_from_template(old.streams.video[0])
        stream = container.add_stream('aac', rate=44100)
        for packet in old.demux(old.streams.video[0]):
            if packet.size:
                packet.stream = picture
                container.mux(packet)
        for i in range(seconds * 44100 // 1024):
            silence = np.zeros((1, 1024), np.float32)
            frame = av.AudioFrame.from_ndarray(silence, format='fltp', layout='mono')
            frame.rate, frame.pts = 44100, 1024 * i
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_lying_avi(path: Path, promised: int = 9000) -> Path:
    """12 frames, of a header that promises more."""
    data = bytearray(write_clip(path, codec='mpeg4').read_bytes())
    for chunk, offset in ((b'avih', 24), (b'strh', 40)):  # dwTotalFrames, dwLength
        start = data.index(chunk) + offset
        data[start : start + 4] = struct.pack('<I', promised)
    path.write_bytes(data)
    return path


def write_joined(path: Path, num_frames: int = 12) -> Path:
    """A clip twice, one file after the other: times start over in the middle."""
    write_clip(path, num_frames, codec='mpeg2video' if path.suffix == '.mpg' else 'h264')
    path.write_bytes(2 * path.read_bytes())
    return path


def write_cut_mkv(path: Path) -> Path:
    """A Matroska file whose header states four seconds, but whose frames end early."""
    data = write_clip(path, 40, options={'cluster_time_limit': '500'}).read_bytes()
    path.write_bytes(data[: round(0.6 * len(data))])
    return path
