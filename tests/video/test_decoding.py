"""decord, PyAV and OpenCV return the same frames; broken files are reported."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from clips import turn, write_clip, write_sound

import swinv2_dense  # noqa: F401  patches imports of mmaction2

pytest.importorskip('mmaction')
pytest.importorskip('av')

from swinv2_dense.video import decoding

NAMES = [
    name for name, (module, *_) in decoding.DECODERS.items() if importlib.util.find_spec(module)
]


def frames(path: Path, decoder: str, indices: list[int] | None = None) -> list[np.ndarray]:
    """The frames (H, W, 3) of the whole video, or of the frames `indices`."""
    results = decoding.VideoInit(decoder=decoder)(dict(filename=str(path)))
    wanted = range(results['total_frames']) if indices is None else indices
    results['frame_inds'] = np.array(wanted)
    return decoding.VideoDecode()(results)['imgs']


def reference(path: Path) -> list[np.ndarray]:
    """All frames by PyAV in the simplest way, turned as they are to be shown."""
    import av

    with av.open(str(path)) as container:
        shown = [(f.to_ndarray(format='rgb24'), f.rotation) for f in container.decode(video=0)]
    return [np.rot90(pixels, rotation // 90) for pixels, rotation in shown]


@pytest.mark.slow
def test_real_clips_decode_to_the_same_frames_bit_for_bit(samples):
    clips = [line.split()[0] for line in (samples / 'kinetics_mini/list.txt').open()]
    assert len(clips) == 9
    for clip in clips:
        path = samples / 'kinetics_mini' / clip
        expected = reference(path)
        for name in NAMES:
            decoded = frames(path, name)
            assert len(decoded) == len(expected), (clip, name)
            assert all(map(np.array_equal, decoded, expected)), (clip, name)


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize(
    'file, settings',
    [
        ('variable.mp4', dict(times=[0, 5, 40, 45, 100, 101, 102, 300])),
        ('variable.mkv', dict(times=[0, 5, 40, 45, 100, 101, 102, 300])),
        ('late.mp4', dict(times=[500 + 10 * i for i in range(8)])),
        ('gaps.avi', dict(codec='mpeg4')),
        ('odd.webm', dict(codec='libvpx-vp9', size=(34, 50))),
    ],
)
def test_containers_and_frame_rates(tmp_path, name, file, settings):
    path = write_clip(tmp_path / file, 8, **settings)
    expected = reference(path)
    assert len(expected) == 8
    assert np.array_equal(frames(path, name), expected)


@pytest.mark.parametrize('name', NAMES)
def test_frames_come_in_the_order_asked_for_and_repeated(samples, name):
    path = samples / 'kinetics_mini/bungee_jumping/dAeUFSdYG1I_000010_000020.mp4'
    indices = [250, 3, 3, 0, 299, 40]
    assert np.array_equal(frames(path, name, indices), np.stack(reference(path))[indices])


@pytest.mark.parametrize('name', ['auto', *NAMES])
@pytest.mark.parametrize('degrees', [90, 180, 270])
def test_videos_of_phones_are_rotated(tmp_path, name, degrees):
    path = write_clip(tmp_path / 'a.mp4')
    upright = np.rot90(np.stack(reference(path)), -degrees // 90, axes=(1, 2))
    turn(path, degrees)
    assert np.array_equal(frames(path, name), upright)


def test_av1_is_read_which_decord_cannot(tmp_path):
    path = write_clip(tmp_path / 'a.mp4', 8, (64, 96), codec='libsvtav1')
    for name in ('auto', 'decord'):
        assert np.array_equal(frames(path, name), reference(path))


@pytest.mark.parametrize('name', NAMES)
def test_frame_rate_and_shape(tmp_path, name):
    opened = decoding.VideoInit(decoder=name)(dict(filename=str(write_clip(tmp_path / 'a.mp4'))))
    assert opened['avg_fps'] == pytest.approx(10)
    decoded = decoding.VideoDecode()(opened | dict(frame_inds=np.array([[5]])))
    assert decoded['img_shape'] == decoded['original_shape'] == (48, 64)
    assert decoded['video_reader'] is None  # so that samples can leave their worker


@pytest.mark.parametrize('name', ['auto', *NAMES])
def test_errors_of_broken_videos_name_the_file(tmp_path, name):
    (tmp_path / 'empty.mp4').touch()
    whole = write_clip(tmp_path / 'headless.mp4')
    whole.write_bytes(whole.read_bytes()[:-400])  # the index stands at the end
    write_sound(tmp_path / 'sound.mp4')
    for file in ('empty.mp4', 'headless.mp4', 'sound.mp4', 'missing.mp4'):
        with pytest.raises(ValueError, match=file):
            frames(tmp_path / file, name)


@pytest.mark.parametrize('name', ['auto', *NAMES])
def test_a_single_frame_is_too_short_by_default(tmp_path, name):
    path = str(write_clip(tmp_path / 'one.mp4', 1))
    with pytest.raises(ValueError, match=r'one.mp4 has 1 frames, fewer than min_frames=2'):
        decoding.VideoInit(decoder=name)(dict(filename=path))
    assert decoding.VideoInit(name, min_frames=1)(dict(filename=path))['total_frames'] == 1


def without(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(decoding, 'find_spec', lambda name: name not in modules and found(name))


def test_the_decoder_is_chosen_by_what_is_installed(monkeypatch):
    pytest.importorskip('decord')
    assert decoding.select_decoders('auto') == ['pyav']
    assert decoding.select_decoders('decord') == ['decord', 'pyav']
    assert decoding.select_decoders('opencv') == ['opencv']
    without(monkeypatch, 'av')
    assert decoding.select_decoders('auto') == ['decord', 'opencv']
    without(monkeypatch, 'decord', 'av')
    assert decoding.select_decoders('auto') == ['opencv']
    with pytest.raises(ImportError, match=r'needs the module av; install one with'):
        decoding.select_decoders('pyav')
    without(monkeypatch, 'decord', 'av', 'cv2')
    with pytest.raises(ImportError, match=r'av, decord or cv2; .* "pip install av"'):
        decoding.select_decoders('auto')
    with pytest.raises(ValueError, match=r"decoder='ffmpeg' is unknown"):
        decoding.select_decoders('ffmpeg')


def test_the_transforms_are_found_by_bare_names():
    from mmaction.registry import TRANSFORMS

    for kind in (decoding.VideoInit, decoding.VideoDecode):
        assert TRANSFORMS.get(f'mmaction.{kind.__name__}') is kind
