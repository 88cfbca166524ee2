"""What is wrong with label maps is said before training starts, with what mmseg truly reads."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from PIL import Image

pytest.importorskip('mmseg')

from mmseg.datasets import ADE20KDataset, BaseSegDataset, LoadAnnotations
from mmseg.utils import register_all_modules

from swinv2_dense.errors import ConfigError
from swinv2_dense.seg import check_label_maps as label_maps
from swinv2_dense.seg.check_label_maps import check_label_maps, labels_of_ids

SIZE = (6, 10)  # height, width
CLASSES = ('wall', 'floor', 'sky')


@pytest.fixture(autouse=True)
def scope() -> None:
    with DefaultScope.overwrite_default_scope('mmseg'):
        register_all_modules(init_default_scope=False)
        yield


def image_of(array: np.ndarray | None = None) -> Image.Image:
    if array is None:
        array = np.resize(np.arange(3, dtype=np.uint8), SIZE)
    return Image.fromarray(array)


def write(root: Path, name: str, label_map: Image.Image | None = None, **settings) -> None:
    """A gray image, and its map: ids 0, 1 and 2 if not given."""
    for part in ('images', 'maps'):
        (root / part).mkdir(exist_ok=True)
    Image.new('RGB', SIZE[::-1], 'gray').save(root / 'images' / f'{name}.jpg', **settings)
    (label_map or image_of()).save(root / 'maps' / f'{name}.png')


def dataset_of(root: Path, backend: str = 'pillow', kind: type = BaseSegDataset, **settings):
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', imdecode_backend=backend),
        dict(type='PackSegInputs'),
    ]
    if kind is BaseSegDataset:
        settings = dict(metainfo=dict(classes=CLASSES)) | settings
    prefix = dict(img_path='images', seg_map_path='maps')
    return kind(data_root=str(root), data_prefix=prefix, pipeline=pipeline, **settings)


def check(dataset, name: str = 'train_dataloader') -> list[str]:
    """Check it; returns what was logged."""
    lines: list[str] = []
    check_label_maps(name, dataset, lines.append)
    return lines


@pytest.mark.parametrize('reduce_zero_label', [False, True])
@pytest.mark.parametrize('label_map', [None, {0: 1, 1: 255, 2: 0}])
def test_ids_become_the_labels_that_mmseg_loads(tmp_path, reduce_zero_label, label_map):
    image_of(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(tmp_path / 'all.png')
    results = dict(
        seg_map_path=str(tmp_path / 'all.png'),
        reduce_zero_label=reduce_zero_label,
        label_map=label_map,
        seg_fields=[],
    )
    expected = LoadAnnotations().transform(results)['gt_seg_map']
    assert np.array_equal(labels_of_ids(reduce_zero_label, label_map), expected.ravel())


def test_sound_maps_pass(tmp_path):
    write(tmp_path, 'plain')
    write(tmp_path, 'ignored', image_of(np.full(SIZE, 255, np.uint8)))
    write(tmp_path, 'sixteen', image_of(np.full(SIZE, 2, np.uint16)))
    write(tmp_path, 'one_bit', image_of(np.eye(*SIZE) > 0))
    write(tmp_path, 'rotated', image_of(np.zeros(SIZE[::-1], np.uint8)), exif=turned())
    assert check(dataset_of(tmp_path)) == []


def turned() -> Image.Exif:
    """EXIF of a camera held upright: the axes are exchanged when the image is loaded."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def palette(name: str = 'P') -> Image.Image:
    image = image_of().convert(name)
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    return image


FAULTS = {
    'beyond': (
        image_of(np.array([[0, 3, 7]], np.uint8).repeat(6, 0).repeat(4, 1)[:, :10]),
        r'contain ids beyond the 3 classes \(allowed in these files: 0\.\.2, 255; .*\), '
        r'first .*/bad\.png with 3, 7',
    ),
    'size': (
        image_of(np.zeros((6, 9), np.uint8)),
        r'differ in size from their image, first .*bad\.png: the map has 9 x 6, the image 10 x 6',
    ),
    'colors': (Image.new('RGB', SIZE[::-1]), r'contain colors instead of class ids .*bad\.png'),
    'with alpha': (Image.new('LA', SIZE[::-1]), r'contain colors instead of class ids'),
    '16 bits': (
        image_of(np.full(SIZE, 256, np.uint16)),
        r'do not fit into the 8 bits that mmseg keeps, first .*bad\.png with 256',
    ),
}


@pytest.mark.parametrize('label_map, message', FAULTS.values(), ids=FAULTS)
def test_faults_are_counted_and_the_first_is_named(tmp_path, label_map, message):
    write(tmp_path, 'good')
    write(tmp_path, 'bad', label_map)
    with pytest.raises(ConfigError, match='^train_dataloader: 1 label maps .*' + message):
        check(dataset_of(tmp_path))


def test_all_kinds_of_fault_are_in_one_line(tmp_path):
    for i in range(3):
        write(tmp_path, f'large{i}', image_of(np.full(SIZE, 9, np.uint8)))
    write(tmp_path, 'broken')
    (tmp_path / 'maps' / 'broken.png').write_bytes(b'not a PNG')
    with pytest.raises(ConfigError) as error:
        check(dataset_of(tmp_path))
    assert '1 label maps cannot be read as images, first ' in str(error.value)
    assert '3 label maps contain ids beyond' in str(error.value)
    assert '\n' not in str(error.value)


def test_faults_of_all_processes_are_told_by_each(tmp_path, monkeypatch):
    """Each checks a part of the maps; counts and the first file are those of one process."""
    for number, value in enumerate((0, 200, 1, 1, 201, 202, 0)):
        write(tmp_path, f'{number}', image_of(np.full((4, 6), value, np.uint8)))
    dataset = dataset_of(tmp_path)

    def message() -> str:
        with pytest.raises(ConfigError, match='3 label maps contain ids beyond') as found:
            check(dataset)
        return str(found.value)

    alone, shares = message(), {}
    for rank in (0, 1):
        monkeypatch.setattr(label_maps, 'get_dist_info', lambda rank=rank: (rank, 2))

        def gather(own, rank=rank):
            shares[rank] = own
            return [own]

        monkeypatch.setattr(label_maps, 'all_gather_object', gather)
        with pytest.raises(ConfigError):
            check(dataset)
    assert all(faults for faults, _, _ in shares.values())
    for order in ((0, 1), (1, 0)):
        parts = [shares[rank] for rank in order]
        monkeypatch.setattr(label_maps, 'all_gather_object', lambda own, parts=parts: parts)
        assert message() == alone


def test_palettes_are_ids_for_pillow_and_colors_for_opencv(tmp_path):
    write(tmp_path, 'palette', palette())
    (line,) = check(dataset_of(tmp_path))
    assert '1 of 1 label maps have a palette: its indices are used as class ids, first' in line
    loaded = dataset_of(tmp_path)[0]['data_samples'].gt_sem_seg.data[0].numpy()
    assert np.array_equal(loaded, np.asarray(image_of()))
    with pytest.raises(ConfigError, match=r'colors .*imdecode_backend=.pillow.'):
        check(dataset_of(tmp_path, backend='cv2'))


def masks(root: Path, *values: int) -> None:
    """A map with each of the values, and one of the first alone."""
    rows = np.resize(np.array(values, np.uint8), SIZE)
    write(root, 'mixed', image_of(rows))
    write(root, 'plain', image_of(np.full(SIZE, values[0], np.uint8)))


def test_masks_of_0_and_255_teach_nothing(tmp_path):
    masks(tmp_path, 0, 255)
    message = (
        '^train_dataloader: the 2 label maps contain only the class .*the loss would be 0 .*'
        r'1 of them only contain 0 and 255, first .*mixed\.png: 255 is ignored; .* write 1'
    )
    with pytest.raises(ConfigError, match=message):
        check(dataset_of(tmp_path))
    with pytest.raises(
        ConfigError, match='contain only the class .shape'
    ):  # softmax over one class
        check(dataset_of(tmp_path, metainfo=dict(classes=('shape',))))
    (warning, note) = check(dataset_of(tmp_path), 'val_dataloader')
    assert 'no label map has a pixel of 2 of 3 classes (floor, sky): mIoU is the mean' in warning
    assert '1 of 2 label maps only contain 0 and 255, and 255 is ignored' in note


def test_one_class_of_other_ids_teaches_nothing_either(tmp_path):
    masks(tmp_path, 1, 255)
    with pytest.raises(ConfigError, match="only the class 'floor'.*Give the background an id"):
        check(dataset_of(tmp_path))
    masks(tmp_path, 0, 1)  # 0 is ignored, 1 becomes 0
    with pytest.raises(ConfigError, match="only the class 'wall'.*see reduce_zero_label"):
        check(dataset_of(tmp_path, reduce_zero_label=True))
    check(dataset_of(tmp_path))


def test_maps_without_any_class(tmp_path):
    masks(tmp_path, 255)
    for name in ('train_dataloader', 'val_dataloader'):
        with pytest.raises(ConfigError, match=f'{name}: the 2 label maps contain no class at all'):
            check(dataset_of(tmp_path), name)
    (line,) = check(dataset_of(tmp_path), 'test_dataloader')  # placeholders of a test set
    assert 'contain no class at all, other pixels are ignored: mIoU would be nan' in line


def test_a_mask_among_maps_of_more_classes_is_a_warning(tmp_path):
    write(tmp_path, 'a')
    masks(tmp_path, 0, 255)
    (line,) = check(dataset_of(tmp_path))
    assert '1 of 3 label maps only contain 0 and 255' in line


def test_classes_without_a_pixel_are_named(tmp_path):
    write(tmp_path, 'a')
    write(tmp_path, 'b', image_of(np.resize(np.array([0, 2], np.uint8), SIZE)))
    classes = (*CLASSES, 'river', 'road')
    dataset = dataset_of(tmp_path, metainfo=dict(classes=classes))
    (line,) = check(dataset)
    assert line == (
        'train_dataloader: no label map has a pixel of 2 of 5 classes (river, road): they are '
        'not learned'
    )
    write(tmp_path, 'a', image_of(np.resize(np.arange(5, dtype=np.uint8), SIZE)))
    assert check(dataset) == []


def test_processes_put_what_they_found_together(tmp_path, monkeypatch):
    """The maps of two processes, with a class each, are enough to learn from."""
    masks(tmp_path, 0, 255)
    others = np.array([False, True, False])
    monkeypatch.setattr(
        label_maps, 'all_gather_object', lambda part: [part, ({}, {CLASSES: others}, 2)]
    )
    (warning, note) = check(dataset_of(tmp_path))
    assert '1 of 3 classes (sky)' in warning and '1 of 4 label maps only contain 0 and 255' in note


def test_zero_is_no_class_where_it_is_reduced(tmp_path):
    """ADE20K: 0 is unlabeled, 1..150 are classes."""
    write(tmp_path, 'good', image_of(np.resize(np.array([0, 1, 150], np.uint8), SIZE)))
    check(dataset_of(tmp_path, kind=ADE20KDataset))
    write(tmp_path, 'bad', image_of(np.full(SIZE, 151, np.uint8)))
    with pytest.raises(ConfigError, match=r'beyond the 150 classes .*0\.\.150, 255;.* with 151'):
        check(dataset_of(tmp_path, kind=ADE20KDataset))


def test_a_choice_of_classes_ignores_the_others(tmp_path):
    write(tmp_path, 'good', image_of(np.resize(np.arange(1, 151, dtype=np.uint8), SIZE)))
    classes = ADE20KDataset.METAINFO['classes'][3:7]
    check(dataset_of(tmp_path, kind=ADE20KDataset, metainfo=dict(classes=classes)))


def test_maps_are_found_within_wrappers_and_read_once(tmp_path, monkeypatch):
    write(tmp_path, 'bad', image_of(np.full(SIZE, 9, np.uint8)))
    part = dataset_of(tmp_path)
    repeated = SimpleNamespace(datasets=[SimpleNamespace(dataset=part), part])
    with pytest.raises(ConfigError, match='2 label maps contain ids'):
        check(repeated)
    part.data_list, part.serialize_data = [part.get_data_info(0)] * 5, False
    with pytest.raises(ConfigError, match='1 label maps contain ids'):
        check(part)


def test_own_loading_is_left_alone(tmp_path):
    class OwnAnnotations(LoadAnnotations):
        """Reads ids from a file that is no map of ids."""

    write(tmp_path, 'other', Image.new('RGB', SIZE[::-1]))
    dataset = dataset_of(tmp_path)
    dataset.pipeline.transforms[1] = OwnAnnotations()
    check(dataset)
    dataset.pipeline.transforms.pop(1)
    check(dataset)


def test_a_map_that_is_not_asked_for(tmp_path):
    write(tmp_path, 'a')
    dataset = dataset_of(tmp_path)
    dataset.data_prefix.pop('seg_map_path')
    dataset._fully_initialized = False
    dataset.full_init()
    with pytest.raises(ConfigError, match=r'a\.jpg has no label map; set data_prefix\.seg_map'):
        check(dataset)


def test_reduce_zero_label_must_agree(tmp_path):
    write(tmp_path, 'a')
    dataset = dataset_of(tmp_path)
    dataset.pipeline.transforms[1].reduce_zero_label = True
    with pytest.raises(
        ConfigError, match='reduce_zero_label=False, but its LoadAnnotations has reduce_'
    ):
        check(dataset)


@pytest.mark.parametrize('suffix, dtype', [('.pam', np.uint8), ('.tif', np.float64)])
def test_formats_that_only_opencv_reads(tmp_path, suffix, dtype):
    import cv2

    write(tmp_path, 'a')
    (tmp_path / 'maps' / 'a.png').unlink()
    file = tmp_path / 'maps' / f'a{suffix}'
    cv2.imwrite(str(file), np.resize([0, 1, 2], SIZE).astype(dtype))
    with pytest.raises(OSError):
        Image.open(file)
    notes: list[str] = []
    dataset = dataset_of(tmp_path, 'cv2', seg_map_suffix=suffix)
    check_label_maps('train_dataloader', dataset, notes.append)
    assert notes == []


@pytest.mark.parametrize('dtype', [np.int8, np.int16, np.int32, np.float32])
def test_negative_ids_are_named(tmp_path, dtype):
    """Such as -1 for "no class", which 8 bits cannot hold."""
    import cv2

    write(tmp_path, 'a')
    (tmp_path / 'maps' / 'a.png').unlink()
    ids = np.resize([0, 1, -1], SIZE).astype(dtype)
    assert cv2.imwrite(str(tmp_path / 'maps' / 'a.tif'), ids)
    dataset = dataset_of(tmp_path, 'cv2', seg_map_suffix='.tif')
    with pytest.raises(ConfigError, match=r'1 label maps contain numbers.* with -1'):
        check_label_maps('train_dataloader', dataset, print)
