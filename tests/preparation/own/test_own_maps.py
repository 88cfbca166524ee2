"""Label maps of all kinds against ids drawn by hand."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from format_writers import Scene, Thing, write_coco, write_labelme
from PIL import Image

from swinv2_dense.errors import ConfigError
from swinv2_dense.preparation.own import write_maps
from swinv2_dense.preparation.own.prepare import Options, Prepared, prepare

H, W = 24, 32
IDS = np.zeros((H, W), np.uint8)
IDS[4:10, 3:20] = 1
IDS[12:, 16:] = 2
NAMES = ['floor', 'wall', 'roof']
COLORS = np.array([[0, 0, 0], [128, 64, 0], [0, 128, 255]], np.uint8)


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (H, W, 3), np.uint8)


def save(path: Path, content: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(content).save(path)


def write_pairs(
    root: Path, content: np.ndarray, image: str = 'images/{}.png', label: str = 'masks/{}.png'
) -> Path:
    for i in range(4):
        save(root / image.format(f'x{i}'), pixels(i))
        save(root / label.format(f'x{i}'), content)
    return root


def written(prepared: Prepared, out: Path) -> tuple[list[str], list[np.ndarray]]:
    """Classes and all maps of the tree, as mmseg reads them."""
    out.mkdir()
    root = prepared.source.root
    print(write_maps.write(prepared.found, prepared.splits, root, out))
    maps = [np.asarray(Image.open(path)) for path in sorted(out.glob('masks/*/*.png'))]
    images = {path.relative_to(out / 'images').with_suffix('') for path in out.glob('images/*/*')}
    assert {p.relative_to(out / 'masks').with_suffix('') for p in out.glob('masks/*/*')} == images
    return (out / 'classes.txt').read_text().splitlines(), maps


@pytest.mark.parametrize(
    ('image', 'label'),
    [
        ('images/{}.png', 'masks/{}.png'),
        ('train/{}.png', 'train_labels/{}_L.png'),  # CamVid
        ('JPEGImages/{}.png', 'SegmentationClass/{}.png'),  # VOC, CVAT
        ('{}.png', '{}_mask.png'),  # Roboflow
        ('images/training/{}.png', 'annotations/training/{}.png'),  # ADE20K
    ],
)
def test_maps_of_ids_are_linked_wherever_they_are(image, label, tmp_path, capsys):
    write_pairs(tmp_path / 'src', IDS, image, label)
    (tmp_path / 'src' / 'classes.txt').write_text('\n'.join(NAMES))
    prepared = prepare(tmp_path / 'src', Options())
    classes, maps = written(prepared, tmp_path / 'out')
    assert classes == NAMES
    assert len(maps) == 4 and all(np.array_equal(ids, IDS) for ids in maps)
    assert capsys.readouterr().out == '8 hard links\n'


def test_ids_without_names(tmp_path):
    prepared = prepare(write_pairs(tmp_path / 'src', IDS), Options())
    assert prepared.found.classes == ['class 0', 'class 1', 'class 2']
    assert 'classes without a name, because there is no classes.txt' in prepared.notes.warnings


def test_255_stays_ignored(tmp_path):
    ids = IDS.copy()
    ids[:, :2] = 255
    classes, maps = written(
        prepare(write_pairs(tmp_path / 'src', ids), Options()), tmp_path / 'out'
    )
    assert len(classes) == 3
    assert np.array_equal(maps[0], ids)


@pytest.mark.parametrize('kind', ['0 and 255', '0 and 1', '1 bit', 'gray RGB', 'palette'])
def test_binary_masks(kind, tmp_path):
    mask = (IDS == 1).astype(np.uint8)
    content = {
        '0 and 255': 255 * mask,
        '1 bit': mask > 0,
        'gray RGB': 255 * mask[..., None].repeat(3, 2),
    }
    write_pairs(tmp_path / 'src', content.get(kind, mask))
    if kind == 'palette':
        for path in (tmp_path / 'src' / 'masks').iterdir():
            image = Image.fromarray(mask, 'P')
            image.putpalette([0, 0, 0, 200, 0, 0])
            image.save(path)
    classes, maps = written(prepare(tmp_path / 'src', Options()), tmp_path / 'out')
    assert all(np.array_equal(found, mask) for found in maps)
    assert len(classes) == 2
    if kind in ('0 and 255', 'gray RGB'):
        assert classes == ['background', 'foreground']


LABELMAP = '# label:color_rgb:parts:actions\n' + ''.join(
    f'{name}:{r},{g},{b}::\n' for name, (r, g, b) in zip(NAMES, COLORS.tolist())
)
CLASS_DICT = 'name,r,g,b\n' + ''.join(
    f'{name},{r},{g},{b}\n' for name, (r, g, b) in zip(NAMES, COLORS.tolist())
)
CAMVID = ''.join(f'{r} {g} {b}\t{name}\n' for name, (r, g, b) in zip(NAMES, COLORS.tolist()))


@pytest.mark.parametrize(
    ('file', 'text'),
    [
        ('labelmap.txt', LABELMAP),
        ('class_dict.csv', CLASS_DICT),
        ('label_colors.txt', CAMVID),
        ('', ''),
    ],
)
def test_painted_maps(file, text, tmp_path):
    write_pairs(tmp_path / 'src', COLORS[IDS])
    if file:
        (tmp_path / 'src' / file).write_text(text)
    classes, maps = written(prepare(tmp_path / 'src', Options()), tmp_path / 'out')
    if file:
        assert classes == NAMES
        assert all(np.array_equal(found, IDS) for found in maps)
    else:  # sorted by color
        assert classes == ['background', 'color 0 128 255', 'color 128 64 0']
        assert all(np.array_equal(found, np.array([0, 2, 1])[IDS]) for found in maps)


def test_names_of_roboflow(tmp_path):
    write_pairs(tmp_path / 'src', IDS, 'train/{}.png', 'train/{}_mask.png')
    (tmp_path / 'src/train/_classes.csv').write_text('Pixel Value, Class\n0, a\n1, b\n2, c\n')
    assert prepare(tmp_path / 'src', Options()).found.classes == ['a', 'b', 'c']


@pytest.mark.parametrize('write_scenes', [write_coco, write_labelme])
def test_polygons_become_maps(write_scenes, tmp_path):
    """Against pycocotools; small objects cover large ones."""
    from pycocotools import mask as coco_masks

    large = (2.0, 2.0, 30.0, 2.0, 30.0, 20.0, 2.0, 20.0)
    small = (5.0, 5.0, 12.0, 5.0, 12.0, 12.0, 5.0, 12.0)
    things = (Thing('b', (5, 5, 7, 7), (small,)), Thing('a', (2, 2, 28, 18), (large,)))
    write_scenes(tmp_path / 'src', [Scene(f'{n}.png', W, H, things) for n in 'xyz'])
    prepared = prepare(tmp_path / 'src', Options(target='maps'))
    classes, maps = written(prepared, tmp_path / 'out')
    assert classes == ['background', 'a', 'b']
    wanted = np.zeros((H, W), np.uint8)
    for label, polygon in ((1, large), (2, small)):
        rle = coco_masks.frPyObjects([list(polygon)], H, W)
        wanted[coco_masks.decode(rle)[..., 0] > 0] = label
    assert len(maps) == 3 and all(np.array_equal(found, wanted) for found in maps)


def test_maps_and_images_without_each_other(tmp_path):
    write_pairs(tmp_path, IDS)
    (tmp_path / 'masks' / 'x3.png').unlink()
    prepared = prepare(tmp_path, Options())
    assert prepared.notes.warnings['images without a label map, left out'] == ['images/x3.png']
    (tmp_path / 'images' / 'x2.png').unlink()
    with pytest.raises(
        ConfigError, match=r'1 annotated images are missing, first that of masks/x2'
    ):
        prepare(tmp_path, Options())
    prepared = prepare(tmp_path, Options(skip_broken=True))
    assert len(prepared.found.samples) == 2


@pytest.mark.parametrize(
    ('content', 'text', 'message'),
    [
        (IDS, 'a\nb\n', r'1 ids are beyond the 2 names of classes\.txt, first 2; add names'),
        (IDS, 'a\na\nb\n', r'classes\.txt repeats a; it must have one line per class'),
        (IDS.astype(np.uint16) * 300, '', r'1 ids do not fit into 8 bits, first 600; number'),
        (
            IDS[:20],
            '',
            r'4 images have another size than annotated, first images/x0\.png: 32 x 24, ',
        ),
        (pixels(0), '', r'4 maps have more than 256 colors, .*, first masks/x0\.png; export'),
    ],
)
def test_wrong_maps(content, text, message, tmp_path):
    write_pairs(tmp_path, content)
    if text:
        (tmp_path / 'classes.txt').write_text(text)
    with pytest.raises(ConfigError, match=message):
        prepare(tmp_path, Options())


def test_lists_of_voc(tmp_path):
    """Those for segmentation, not those for boxes."""
    write_pairs(tmp_path, IDS, 'JPEGImages/{}.png', 'SegmentationClass/{}.png')
    for task, split, stems in (
        ('Main', 'val', ['x0', 'x1', 'x2', 'x3']),
        ('Segmentation', 'train', ['x0', 'x2', 'x3']),
        ('Segmentation', 'val', ['x1']),
    ):
        path = tmp_path / 'ImageSets' / task / f'{split}.txt'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('\n'.join(stems))
    splits = prepare(tmp_path, Options()).splits
    assert [sample.path.stem for sample in splits['val']] == ['x1']
    assert len(splits['train']) == 3


def test_jpeg_masks(tmp_path):
    """Of 0 and 255: rounded to the nearer one. Ids and colors do not survive compression."""
    root = write_pairs(tmp_path / 'masks', np.zeros((H, W), np.uint8), label='masks/{}.png')
    for path in list((root / 'masks').iterdir()):
        path.unlink()
        cv2.imwrite(str(path.with_suffix('.jpg')), 255 * (IDS == 1), [cv2.IMWRITE_JPEG_QUALITY, 70])
    prepared = prepare(root, Options())
    classes, maps = written(prepared, tmp_path / 'out')
    assert classes == ['background', 'foreground']
    assert all(np.array_equal(found, IDS == 1) for found in maps)
    for content in (100 * IDS, COLORS[IDS]):
        for path in (root / 'masks').iterdir():
            cv2.imwrite(str(path), content)
        with pytest.raises(
            ConfigError, match=r'4 maps are compressed with loss, .*, first masks/x'
        ):
            prepare(root, Options())


def test_masks_that_were_smoothed(tmp_path):
    mask = cv2.GaussianBlur(255 * (IDS == 1).astype(np.uint8), (5, 5), 0)
    write_pairs(tmp_path, mask)
    with pytest.raises(ConfigError, match=r'no classes\.txt names them, first id 2\d\d; '):
        prepare(tmp_path, Options())


def test_a_color_without_a_name(tmp_path):
    write_pairs(tmp_path, COLORS[IDS])
    (tmp_path / 'labelmap.txt').write_text(LABELMAP.replace('128,64,0', '128,64,1'))
    with pytest.raises(
        ConfigError, match=r'1 colors of maps are not in labelmap\.txt, first color 128 64 0'
    ):
        prepare(tmp_path, Options())


def test_a_map_that_is_cut(tmp_path):
    write_pairs(tmp_path, IDS)
    path = tmp_path / 'masks' / 'x1.png'
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ConfigError, match=r'1 maps cannot be read, first masks/x1\.png; export'):
        prepare(tmp_path, Options())


def test_two_images_of_one_map(tmp_path):
    write_pairs(tmp_path / 'src', IDS)
    cv2.imwrite(str(tmp_path / 'src/images/x0.jpg'), pixels(9))
    with pytest.raises(
        ConfigError, match=r'1 images share a name up to the suffix, first images/x0'
    ):
        prepare(tmp_path / 'src', Options())
