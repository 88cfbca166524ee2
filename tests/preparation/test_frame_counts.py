"""Files that hold, or promise, other frames than players show: each decoder counts the shown ones.

The oracle is PyAV's plain sequential decoding, and the number of frames that a file was made of.
"""

from __future__ import annotations

import importlib.util
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from clips import (
    trim,
    write_clip,
    write_cut,
    write_cut_mkv,
    write_joined,
    write_lying_avi,
    write_trimmed,
    write_with_sound,
)
from forked import run_code

import swinv2_dense  # noqa: F401  patches imports of mmaction2

pytest.importorskip('mmaction')
pytest.importorskip('av')

import av

from swinv2_dense.errors import ConfigError
from swinv2_dense.inference.video_files import UnreadableError, read_frames
from swinv2_dense.preparation.images import File, FileError
from swinv2_dense.preparation.video_frames import FrameReader
from swinv2_dense.preparation.videos import check_video
from swinv2_dense.video import decoding

NAMES = [
    name for name, (module, *_) in decoding.DECODERS.items() if importlib.util.find_spec(module)
]
FILES = {  # how to make it, and how many frames it shows; None where that is FFmpeg's affair
    'trimmed.mp4': (write_trimmed, 7),
    'trimmed.mov': (partial(write_trimmed, hidden=1, shown=9), 9),
    'cut.mp4': (write_cut, None),
    'cut.mkv': (write_cut_mkv, None),
    'lying.avi': (write_lying_avi, 12),
    'joined.ts': (write_joined, 24),
    'joined.mpg': (write_joined, 24),
    'sound.mp4': (write_with_sound, 12),
    'variable.mp4': (partial(write_clip, num_frames=4, times=[0, 5, 200, 700]), 4),
    'fragmented.mp4': (
        partial(write_clip, options={'movflags': 'frag_keyframe+empty_moov'}),
        12,
    ),
    'colon:.mp4': (write_clip, 12),  # FFmpeg would take it for a URL
}


def reference(path: Path) -> list[np.ndarray]:
    frames = []
    with open(path, 'rb') as file, av.open(file) as container:
        try:
            for frame in container.decode(video=0):
                frames.append(frame.to_ndarray(format='rgb24'))
        except av.error.FFmpegError:
            pass
    return frames


def decoded(path: Path, decoder: str, indices: list[int] | None = None) -> list[np.ndarray]:
    results = decoding.VideoInit(decoder, timeout=20)(dict(filename=str(path)))
    wanted = range(results['total_frames']) if indices is None else indices
    return decoding.VideoDecode(timeout=20)(results | dict(frame_inds=np.array(wanted)))['imgs']


@pytest.mark.parametrize('file', FILES)
def test_each_decoder_gives_the_frames_that_are_shown(tmp_path, file):
    make, count = FILES[file]
    path = make(tmp_path / file)
    expected = reference(path)
    assert len(expected) >= 2
    assert count in (None, len(expected))
    backwards = list(range(len(expected)))[::-2]
    for name in NAMES:
        if name == 'opencv' and ':' in file:
            continue
        assert np.array_equal(decoded(path, name), expected), name
        some = decoded(path, name, backwards)
        assert np.array_equal(some, [expected[i] for i in backwards]), name


def test_real_clips_cut_without_reencoding(samples, tmp_path):
    """Those on which decord repeated frames, or did not return."""
    first = 195
    for clip in ('using_segway/SOX5yA1l24A', 'bungee_jumping/zkXOcxGnUhs_000025_000035'):
        source = samples / f'kinetics_mini/{clip}.mp4'
        path = trim(source, tmp_path / 'cut.mp4', first, first + 49)
        whole = reference(source)
        # The last ones may refer to frames after the cut, which are gone.
        for name in ('auto', 'decord'):
            frames = decoded(path, name)
            assert 48 <= len(frames) <= 50
            assert np.array_equal(frames[:40], whole[first : first + 40])
            assert np.array_equal(decoded(path, name, [39, 2]), [frames[39], frames[2]])


@pytest.mark.parametrize(
    'options',
    [
        dict(keyint='8'),
        dict(keyint='8', **{'open-gop': '1', 'bframes': '3'}),
        dict(keyint='8', **{'intra-refresh': '1'}),  # key frames that are not whole pictures
    ],
    ids=['closed', 'open', 'refresh'],
)
def test_seeking_is_exact(tmp_path, options):
    """Each frame alone, and pairs far from each other, are those of sequential decoding."""
    path = tmp_path / 'a.mp4'
    params = ':'.join(f'{key}={value}' for key, value in options.items())
    rng = np.random.default_rng(0)
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=10, options={'x264-params': params})
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        blocks = rng.integers(0, 256, (6, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
        for i in range(40):
            pixels = np.ascontiguousarray(np.roll(blocks, 3 * i, axis=1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format='rgb24')))
        container.mux(stream.encode(None))
    expected = reference(path)
    reader = FrameReader(str(path))
    assert reader.index.count == len(expected) == 40
    for i in range(40):
        assert np.array_equal(reader.read([i])[i], expected[i]), i
    for wanted in ([38, 1], [9, 17, 30], [0, 39], [7, 8]):
        frames = reader.read(wanted)
        assert sorted(frames) == sorted(wanted)
        assert all(np.array_equal(frames[i], expected[i]) for i in wanted), wanted
    reader.close()


def test_a_long_video_is_not_decoded_from_its_start(tmp_path):
    path = write_clip(tmp_path / 'long.mp4', 600)  # with a key frame each 12
    reader = FrameReader(str(path))
    path.unlink()  # to decode from the start, it is opened again
    assert len(reader.read([3, 590])) == 2
    reader.close()


OPENED = """
import sys
from swinv2_dense.video import decoding
init = decoding.VideoInit(sys.argv[1])
print(*(init(dict(filename=path))['video_decoder'] for path in sys.argv[2:]))
"""


def opened(decoder: str, *paths: Path) -> tuple[list[str], list[str]]:
    """The decoder of each file, and the warnings of a process that opens them in turn."""
    result = run_code(OPENED, decoder, *paths)
    assert result.returncode == 0, result.stderr
    *logged, used = result.stdout.splitlines()
    warnings = [line.partition(' - WARNING - ')[2] for line in logged]
    ours = [line for line in warnings if 'will be deprecated in future' not in line]
    return used.split(), ours


def test_files_that_decord_gets_wrong_are_decoded_with_pyav(tmp_path, monkeypatch):
    pytest.importorskip('decord')
    trimmed, whole = write_trimmed(tmp_path / 'trimmed.mp4'), write_clip(tmp_path / 'whole.mp4')
    used, warnings = opened('decord', trimmed, whole, trimmed)
    assert used == ['pyav', 'decord', 'pyav']
    assert warnings == [
        f'decord: decord counts 27 frames, not 7: decoding {trimmed} and similar files with pyav'
    ]
    monkeypatch.setattr(decoding, 'find_spec', lambda name: name != 'av' or None)
    init = decoding.VideoInit('decord')
    assert init(dict(filename=str(trimmed)))['video_decoder'] == 'opencv'
    assert init(dict(filename=str(whole)))['video_decoder'] == 'decord'


def test_damaged_files_are_logged_once(tmp_path):
    _, (line,) = opened('pyav', *(write_cut(tmp_path / f'{name}.mp4') for name in 'ab'))
    assert line.startswith(f'{tmp_path}/a.mp4 is damaged: it ends after 14 of 40 frames')


def test_the_check_of_kinetics_counts_shown_frames(tmp_path):
    def check(path: Path) -> int:
        return check_video(path, File(path.name, 0, 0))

    assert check(write_trimmed(tmp_path / 'trimmed.mp4')) == 20
    assert check(write_clip(tmp_path / 'whole.mp4')) == 0
    assert check(write_lying_avi(tmp_path / 'lying.avi')) == 0
    with pytest.raises(FileError) as error:
        check(write_trimmed(tmp_path / 'one.mp4', 12, 1))
    assert error.value.args == ('too short', '1 frames')
    with pytest.raises(FileError) as error:
        check(write_cut(tmp_path / 'cut.mp4'))
    assert error.value.args == ('broken', 'it ends after 14 of 40 frames')


@pytest.fixture
def huge(tmp_path: Path) -> Path:
    """A small file whose headers declare 14000 x 14000 pixels, which FFmpeg still accepts."""
    path = write_clip(tmp_path / 'huge.mov', 4, codec='mjpeg', pix_fmt='yuvj420p')
    data = bytearray(path.read_bytes())
    declared = 2 * (14000).to_bytes(2, 'big')
    entry = data.index(b'stsd') + 44  # width, height of the sample entry, ISO 14496-12
    data[entry : entry + 4] = declared
    for at in (i for i in range(len(data)) if data.startswith(b'\xff\xc0\0\x11\x08', i)):
        data[at + 5 : at + 9] = declared  # height, width of the frame header of each JPEG
    path.write_bytes(data)
    return path


def test_frames_of_too_many_pixels_are_not_decoded(huge):
    for name in ('auto', *NAMES):
        with pytest.raises(ConfigError, match=r'huge.mov.*14000 x 14000') as error:
            decoding.VideoInit(name)(dict(filename=str(huge)))
        assert '\n' not in str(error.value)
    with pytest.raises(UnreadableError, match='14000 x 14000'):
        next(read_frames(huge))
    with pytest.raises(FileError, match='too large'):
        check_video(huge, File(huge.name, 0, 0))


def test_frames_larger_than_the_header_says_are_not_converted(tmp_path, monkeypatch):
    path = write_clip(tmp_path / 'a.mp4')
    reader = FrameReader(str(path))
    monkeypatch.setenv('SWINV2_DENSE_MAX_PIXELS', '100')
    with pytest.raises(ConfigError, match='a.mp4 has 64 x 48 pixels'):
        reader.read([3])
    reader.close()


@pytest.mark.parametrize('name', NAMES)
def test_the_memory_of_frames_is_bounded(tmp_path, name):
    path = write_clip(tmp_path / 'a.mp4')
    frame = 48 * 64 * 3 / 2**30
    for indices in ([1, 2, 3], [1, 2, 3, 3]):  # each is kept once
        results = decoding.VideoInit(name)(dict(filename=str(path)))
        results['frame_inds'] = np.array(indices)
        assert len(decoding.VideoDecode(max_gib=3.5 * frame)(dict(results))['imgs']) == len(indices)
    results = decoding.VideoInit(name)(dict(filename=str(path)))
    results['frame_inds'] = np.arange(4)
    with pytest.raises(ConfigError, match='a.mp4: 4 frames of 64 x 48 pixels .* max_gib'):
        decoding.VideoDecode(max_gib=3.5 * frame)(results)
