"""Pictures of all tasks: colors, letters, places and names, as properties of pixels."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from PIL import Image

from swinv2_dense.drawing import fonts, text
from swinv2_dense.drawing.clips import clip_sheet, frames_of, labelled
from swinv2_dense.drawing.files import picture_names
from swinv2_dense.drawing.fonts import legible_names, printable, runs
from swinv2_dense.drawing.objects import Objects, detection_sheet, draw_objects
from swinv2_dense.drawing.palette import class_colors, default_colors, smallest_distance
from swinv2_dense.drawing.regions import label_regions, segmentation_sheet
from swinv2_dense.drawing.sheet import displayable, enlargement, write_picture
from swinv2_dense.drawing.style import Style

GRAY = 128


def gray(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), GRAY, np.uint8)


def has(picture: np.ndarray, color: tuple[int, ...]) -> np.ndarray:
    return (picture == np.array(color)).all(axis=-1)


@pytest.mark.parametrize(
    'count, least', [(2, 0.3), (12, 0.08), (80, 0.08), (150, 0.06), (1203, 0.02)]
)
def test_colors_can_be_told_apart(count: int, least: float):
    """In OKLab, where 0.02 is just noticeable."""
    colors = default_colors(count)
    assert colors.shape == (count, 3) and smallest_distance(colors) >= least
    assert np.array_equal(colors, default_colors(2000)[:count])  # by index, not by count


def test_more_classes_than_colors():
    assert default_colors(30000).shape == (30000, 3)


OWN = [[250, 0, 0], [0, 250, 0], [0, 0, 250]]


@pytest.mark.parametrize(
    'given', [OWN, [tuple(c) for c in OWN], np.array(OWN), tuple(map(np.array, OWN))]
)
def test_palettes_in_any_nesting_are_used(given):
    assert class_colors(3, given).tolist() == OWN


@pytest.mark.parametrize(
    'given', [None, 'coco', [], OWN[:2], [*OWN, [1, 2, 3]], [[1, 2], [3], [4]], [[0, 0, 256]] * 3,
              [['a'] * 3] * 3, 5, [None] * 3]
)  # fmt: skip
def test_palettes_that_do_not_fit_are_replaced(given):
    assert np.array_equal(class_colors(3, given), default_colors(3))


def test_equal_colors_of_a_palette_become_different():
    """As two of ADE20K's; the others stay."""
    colors = class_colors(4, [*OWN, OWN[0]])
    assert colors[:3].tolist() == OWN and smallest_distance(colors) > 0.1


def test_black_or_white_letters_by_contrast():
    from swinv2_dense.drawing.palette import ink_on

    assert ink_on((255, 255, 0)) == (0, 0, 0) and ink_on((0, 0, 120)) == (255, 255, 255)


# Objects


def boxes(*rows: tuple[float, ...]) -> np.ndarray:
    return np.array(rows, float).reshape(-1, 4)


def masks_of(kind: str, bitmaps: np.ndarray):
    """The same masks in all forms in which libraries hand them over."""
    import torch
    from pycocotools import mask as coco

    if kind == 'tensor':
        return torch.from_numpy(bitmaps)
    if kind == 'rle':
        return [coco.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in bitmaps]
    if kind == 'uncompressed rle':
        flat = [mask.T.ravel() for mask in bitmaps]
        edges = [np.flatnonzero(np.diff(np.r_[0, m.astype(int), m[-1] + 0])) for m in flat]
        counts = [np.diff(np.r_[0, e, m.size]).tolist() for e, m in zip(edges, flat)]
        return [dict(size=list(bitmaps.shape[1:]), counts=c) for c in counts]
    if kind in ('bitmaps', 'polygons'):
        structures = pytest.importorskip('mmdet.structures.mask')
        size = bitmaps.shape[1:]
        if kind == 'bitmaps':
            return structures.BitmapMasks(bitmaps.astype(np.uint8), *size)
        corners = [np.argwhere(mask) for mask in bitmaps]
        rectangles = []
        for corner in corners:
            (y1, x1), (y2, x2) = corner.min(0), corner.max(0) + 1
            rectangles.append([np.array([x1, y1, x2, y1, x2, y2, x1, y2], float)])
        return structures.PolygonMasks(rectangles, *size)
    return bitmaps


@pytest.mark.parametrize(
    'kind', ['array', 'tensor', 'rle', 'uncompressed rle', 'bitmaps', 'polygons']
)
def test_mask_and_box_have_the_color_of_the_class(kind: str):
    """And truth and prediction share it; pixels of other places stay."""
    bitmaps = np.zeros((2, 600, 800), bool)
    bitmaps[0, 110:290, 110:290] = bitmaps[1, 310:490, 410:690] = True
    found = Objects(
        boxes((100, 100, 300, 300), (400, 300, 700, 500)), np.array([2, 0]),
        masks=masks_of(kind, bitmaps),
    )  # fmt: skip
    style = Style(['a', 'b', 'c'])
    scored = found._replace(scores=np.array([0.9, 0.8]))
    panels = {'truth': found, 'prediction': scored}
    picture = detection_sheet(gray(600, 800), panels, style, 'x.jpg', alpha=0.5)
    truth, prediction = picture[-600:, :800], picture[-600:, -800:]
    for panel in (truth, prediction):
        for label, middle, corner in [(2, (200, 250), (200, 100)), (0, (400, 600), (400, 699))]:
            color = np.array(style.color(label))
            assert np.abs(panel[middle] - (color + GRAY) / 2).max() <= 1  # half mask, half image
            assert tuple(panel[corner]) == style.color(label)  # the box
            assert tuple(panel[110 if label else 310, middle[1]]) == style.color(label)  # contour
        assert (panel[520:, :] == GRAY).all() and (panel[:, 720:] == GRAY).all()


def test_objects_without_boxes_or_with_odd_ones():
    """SOLO gives zeros; boxes may leave the image, or hold numbers that are not finite."""
    bitmaps = np.zeros((5, 600, 800), bool)
    bitmaps[0, 300:400, 300:400] = True
    odd = boxes((0, 0, 0, 0), (-50, -50, 60, 60), (790, 590, 900, 700), (np.nan, 0, 5, 5),
                (10, 10, np.inf, 20))  # fmt: skip
    found = Objects(odd, np.arange(5), np.linspace(0.1, 0.9, 5), bitmaps)
    picture, style = gray(600, 800), Style([])
    draw_objects(picture, found, style)
    assert (picture[350, 350] != GRAY).any()
    assert has(picture, style.color(1))[:61, :61].any()
    assert has(picture, style.color(2))[590:, 790:].any()
    assert not has(picture, style.color(3)).any() and not has(picture, style.color(4)).any()
    assert len(found.above(0.5).labels) == 3


def text_rows(picture: np.ndarray, ground: tuple[int, ...], ink: tuple[int, ...]) -> int:
    """Rows in which letters of a label in this color are."""
    rows = np.flatnonzero(has(picture, ground).any(axis=1))
    return int(has(picture[rows[0] : rows[-1] + 1], ink).any(axis=1).sum())


@pytest.mark.parametrize('size', [(64, 64), (48, 64), (480, 640), (4000, 3000)])
def test_letters_can_be_read_at_any_size(size):
    """A capital letter takes at least 9 pixels and 1.2 % of the mean side."""
    height, width = size
    box = boxes((0.4 * width, 0.5 * height, 0.6 * width, 0.9 * height))
    style = Style(['HHH'], [[0, 0, 250]])  # white letters
    picture = detection_sheet(gray(*size), {'truth': Objects(box, np.array([0]))}, style)
    factor = enlargement(height, width)
    panel = picture[-height * factor :]
    assert factor * max(size) >= 512 or factor == 1
    rows = text_rows(panel, (0, 0, 250), (255, 255, 255))
    assert rows >= max(9, 0.012 * (panel.shape[0] * panel.shape[1]) ** 0.5)
    assert rows <= panel.shape[0] / 8


NAMES = ['cat', 'a class whose name is longer than many a picture is wide, as names may be, ' * 2]


@pytest.mark.parametrize('place', [(0, 0), (0, 1), (1, 0), (1, 1), (0.5, 0.5)])
@pytest.mark.parametrize('label', [0, 1])
def test_names_lie_within_the_picture(place, label):
    """Compared with the same label on a picture that has room on all sides."""
    y, x = int(place[0] * 500), int(place[1] * 600)
    style = Style(NAMES, [[0, 0, 250], [0, 0, 200]])
    picture = gray(520, 640)
    draw_objects(picture, Objects(boxes((x, y, x + 40, y + 20)), np.array([label])), style)
    ground, ink = style.color(label), (255, 255, 255)
    area = has(picture, ground) | has(picture, ink)
    rows, columns = (
        np.flatnonzero(has(picture, ink).any(1)),
        np.flatnonzero(has(picture, ink).any(0)),
    )
    assert rows[0] > 0 and rows[-1] < 519 and columns[0] > 0 and columns[-1] < 639
    size = text.font_size(520, 640)
    letters = sum(has_ink(line, size) for line in text.wrapped(style.name(label), size, 636))
    assert has(picture, ink).sum() == pytest.approx(letters, rel=0.02)
    assert area.sum() > letters


def has_ink(line: str, size: int) -> int:
    return int((text.render(line, size) == 255).sum())


def test_labels_of_neighbors_do_not_cover_each_other():
    """Twenty boxes in one place: every name can be read, since there is room around."""
    names = [f'class {i:02d}' for i in range(20)]
    ground = [[0, 0, 60 + 9 * i] for i in range(20)]
    near = boxes(*[(300 + i, 300 + i, 420 + i, 400 + i) for i in range(4)])
    picture, style = gray(700, 800), Style(names, ground)
    draw_objects(picture, Objects(near, np.arange(4)), style)
    size = text.font_size(700, 800)
    expected = sum(has_ink(style.name(i), size) for i in range(4))
    assert has(picture, (255, 255, 255)).sum() == pytest.approx(expected, rel=0.02)


def test_ignored_objects_are_gray():
    crowd = Objects(boxes((100, 100, 300, 200)), np.array([0]))
    nothing = Objects(boxes(), np.array([], int))
    picture = detection_sheet(
        gray(400, 500) // 2, {'truth': nothing}, Style(['a']), ignored={'truth': crowd}
    )
    drawn = picture[-400:][(picture[-400:] != 64).any(axis=-1)]
    assert len(drawn) and (drawn.max(axis=-1) == drawn.min(axis=-1)).all()


def test_memory_of_drawing_is_a_few_images():
    """Forty masks over the whole image, given as RLE: not forty arrays of its size."""
    from pycocotools import mask as coco

    height, width = 1500, 2000
    full = coco.encode(np.asfortranarray(np.ones((height, width), np.uint8)))
    found = Objects(
        boxes(*[(0, 0, width, height)] * 40), np.zeros(40, int), np.ones(40), [full] * 40
    )
    image = gray(height, width)
    tracemalloc.start()
    picture = detection_sheet(image, {'prediction': found}, Style(['a']))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert picture.shape[1] == width and peak / (height * width) < 20  # bytes per pixel
    labels = np.arange(height * width, dtype=np.int64).reshape(height, width) // 1000 % 150
    tracemalloc.start()
    segmentation_sheet(image, {'truth': labels, 'prediction': labels}, Style([]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak / (height * width) < 40


# Letters


@pytest.fixture
def only_boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with DejaVu and a font that has one Chinese character, a full square."""
    square = TTGlyphPen(None)
    for i, point in enumerate([(100, 0), (100, 800), (900, 800), (900, 0)]):
        (square.lineTo if i else square.moveTo)(point)
    square.closePath()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(['.notdef', 'person'])
    builder.setupCharacterMap({ord('人'): 'person'})
    builder.setupGlyf({'.notdef': TTGlyphPen(None).glyph(), 'person': square.glyph()})
    builder.setupHorizontalMetrics(dict.fromkeys(('.notdef', 'person'), (1000, 0)))
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable(dict(familyName='Square', styleName='Regular'))
    builder.setupOS2()
    builder.setupPost()
    builder.save(tmp_path / 'square.ttf')
    (tmp_path / 'broken.ttf').write_text('not a font')
    default = fonts.font_files()[0]
    found = (default, str(tmp_path / 'broken.ttf'), str(tmp_path / 'square.ttf'))
    clear()
    monkeypatch.setattr(fonts, 'font_files', lambda: found)
    yield tmp_path / 'square.ttf'
    clear()


def clear() -> None:
    """Forget which fonts have which characters."""
    for cached in vars(fonts).values():
        if hasattr(cached, 'cache_clear'):
            cached.cache_clear()
    text.render.cache_clear()


def test_a_font_that_has_the_characters_is_found(only_boxes):
    assert runs('person') == [(fonts.font_files()[0], 'person')]
    assert runs('人人') == [(str(only_boxes), '人人')]
    default = fonts.font_files()[0]
    assert runs('a人 b') == [(default, 'a'), (str(only_boxes), '人 '), (default, 'b')]
    mask = text.render('人人', 20)  # two squares of 16 x 16 pixels
    assert (mask == 255).sum() == pytest.approx(2 * 16 * 16, rel=0.15)


def test_names_without_a_font_become_numbers_and_the_log_says_why(only_boxes, monkeypatch):
    said = []
    monkeypatch.setattr(fonts, 'print_log', lambda text, **_: said.append(text))
    for _ in range(2):
        names = legible_names(('人', '自行车', 'dog', 'हाथी', '人 ok'))
        assert names == ('人', 'class 1', 'dog', 'class 3', '人 ok')
    (line,) = said  # once
    assert "2 class names, first '自行车'" in line
    assert 'fonts-noto-cjk' in line and 'Noto Sans Devanagari' in line
    assert printable('12_自行车.jpg') == '12_….jpg'


@pytest.mark.parametrize(
    'name', ['автомобиль', 'سيارة', 'מכונית', 'mañana', 'e\u0301cole', 'Ωμέγα']
)
def test_scripts_of_dejavu_are_drawn(name: str):
    """No letter is the box that stands for a missing one."""
    (shown,) = legible_names((name,))
    assert not shown.startswith('class')
    ((path, _),) = runs(shown)
    assert (text.render(shown, 30) > 0).any() and 'DejaVu' in path


def test_no_letter_is_cut():
    """High accents and deep letters, and letters that reach out of their box."""
    for line in ('ÂÅÇgjpq', 'fffj', 'Ǻ̂', 'W' * 30):
        mask = np.pad(text.render(line, 40), 0)
        assert mask[0].max() < 200 and mask[:, -1].max() < 255


def test_lines_are_wrapped_at_blanks_and_within_long_words():
    lines = text.wrapped('one two three_without_any_blank_in_it four', 14, 100)
    assert ''.join(lines).replace(' ', '') == 'onetwothree_without_any_blank_in_itfour'
    assert all(text.render(line, 14).shape[1] <= 100 for line in lines)
    assert lines[0] == 'one two'


# Sheets, clips and files


@pytest.mark.parametrize(
    'name', ['a', 'a name of a file that is much longer than the picture ' * 3]
)
def test_captions_are_above_and_not_cut(name: str):
    picture = segmentation_sheet(gray(520, 520), {'truth': np.zeros((520, 520), int)}, Style(['x']),
                                 name)  # fmt: skip
    title = picture[: len(picture) - 520]
    assert (title[0] == 255).all() and (title[:, -1] == 255).all()
    assert (title < 100).any()


def test_titles_wider_than_the_image_do_not_overlap():
    objects = Objects(boxes(), np.array([], int))
    picture = detection_sheet(gray(700, 20), dict(truth=objects, prediction=objects), Style([]))
    assert picture.shape[1] > 2 * 20


@pytest.mark.parametrize('size', [(1, 1), (1, 3000), (3000, 1), (2, 5000), (20, 900)])
def test_images_of_any_shape_are_drawn(size):
    objects = Objects(boxes((0, 0, size[1], size[0])), np.array([0]), np.array([0.5]))
    assert detection_sheet(gray(*size), {'prediction': objects}, Style(['a']), 'n').size
    assert segmentation_sheet(gray(*size), {'truth': np.zeros(size, int)}, Style(['a'])).size


@pytest.mark.parametrize(
    'image, expected',
    [
        (np.full((2, 2), 7, np.uint8), 7),
        (np.full((2, 2, 1), 7, np.uint8), 7),
        (np.full((2, 2, 2), 7, np.uint8), 7),
        (np.full((2, 2, 5), 7.6, np.float32), 7),
        (np.full((2, 2, 3), 1000.0), 255),
        (np.full((2, 2, 3), np.nan), 0),
        (np.full((2, 2, 3), 40000, np.uint16), 156),  # 40000 / 256
        (np.full((2, 2, 3), -5, np.int16), 0),
        (np.ones((2, 2, 3), bool), 1),
    ],
)
def test_images_of_any_loader_can_be_shown(image, expected):
    shown = displayable(image)
    assert shown.shape == (2, 2, 3) and shown.dtype == np.uint8 and (shown == expected).all()


def test_clips_have_names_truth_and_prediction():
    """Frames enlarged, in order; a wrong prediction is red, also if the names begin alike."""
    frames = [np.full((64, 64, 3), 10 * i, np.uint8) for i in range(8)]
    plain = clip_sheet(frames, 'a.mp4')
    right = clip_sheet(frames, 'a.mp4', ['walk'], 'walk', 0.93)
    wrong = clip_sheet(frames, 'a.mp4', ['walk'], 'walk fast', 0.93)
    assert plain.shape[1] == right.shape[1] == 8 * 192 + 7 * 8
    assert len(right) - len(plain) == 2 * len(text.render('truth', 18))  # two lines more
    centers = right[-96, 96::200, 0].tolist()
    assert centers == [10 * i for i in range(8)]
    head = len(right) - 192
    assert not has(right[:head], (200, 0, 0)).any() and has(wrong[:head], (200, 0, 0)).any()


@pytest.mark.parametrize('shape', [(3, 3, 8, 4, 6), (1, 3, 8, 4, 6), (3, 8, 4, 6), (8, 3, 4, 6)])
def test_frames_are_found_in_inputs_of_recognizers(shape):
    """Views (N, C, T, H, W), one (C, T, H, W), or frames (T, C, H, W)."""
    assert frames_of(np.zeros(shape)).shape == (8, 4, 6, 3)


def test_the_view_in_the_middle_is_shown():
    views = np.arange(3)[:, None, None, None, None] * np.ones((3, 3, 2, 4, 6))
    assert (frames_of(views) == 1).all()


def test_lines_on_a_frame_are_wrapped_not_cut():
    frame = np.full((48, 64, 3), 200, np.uint8)
    drawn = labelled(frame, ['0.900  a class with a name that is longer than the frame is wide'])
    assert drawn.shape[0] // 48 == drawn.shape[1] // 64 == 6
    assert (drawn[:, -3:] == 200).all(axis=(1, 2))[60:].all()
    same = labelled(np.full((480, 640, 3), 200, np.uint8), ['x'])
    assert same.shape == (480, 640, 3)


def test_regions_get_their_name_inside():
    labels = np.zeros((512, 512), np.uint8)
    labels[:, 300:] = 1
    picture = gray(512, 512)
    label_regions(picture, labels, Style(['left', 'right'], [[0, 0, 250], [0, 0, 200]]))
    for color, columns in [((0, 0, 250), (0, 300)), ((0, 0, 200), (300, 512))]:
        found = np.flatnonzero(has(picture, color).any(axis=0))
        assert columns[0] <= found[0] and found[-1] < columns[1]


def test_pictures_are_named_after_their_files():
    assert picture_names(['d/12.jpg', 'd/test_5.png']) == ['12.jpg', 'test_5.png']
    assert picture_names(['d/a/1.jpg', 'd/b/1.jpg']) == ['a/1.jpg', 'b/1.jpg']
    assert picture_names(['d/1.tif', 'd/2.webp', 'd/3.JPG']) == ['1.jpg', '2.jpg', '3.JPG']
    assert picture_names(['d/1.tif', 'd/1.jpg']) == ['1.tif.jpg', '1.jpg']
    assert picture_names(['d/1.tif', 'd/1.bmp']) == ['1.tif.jpg', '1.bmp.jpg']
    assert picture_names(['1.tif', '1.bmp', '1.tif.jpg']) == [
        '1.tif_.jpg',
        '1.bmp.jpg',
        '1.tif.jpg',
    ]
    assert picture_names(['x/no_suffix', 'x/.hidden']) == ['no_suffix.jpg', '.hidden.jpg']
    assert picture_names([]) == []


@pytest.mark.parametrize('suffix', ['.jpg', '.JPEG', '.png'])
def test_pictures_are_written_whole_in_new_folders(tmp_path, suffix):
    picture = np.zeros((20, 30, 3), np.uint8)
    picture[..., 0] = 250
    write_picture(tmp_path / 'a' / f'p{suffix}', picture)
    read = np.asarray(Image.open(tmp_path / 'a' / f'p{suffix}'))
    assert np.abs(read.astype(int) - picture).max() < 8
    assert len(list((tmp_path / 'a').iterdir())) == 1


def test_pictures_beyond_what_jpeg_stores_are_reduced(tmp_path):
    write_picture(tmp_path / 'a.jpg', np.full((4, 70000, 3), 90, np.uint8))
    with Image.open(tmp_path / 'a.jpg') as file:
        assert 65000 < file.width <= 65500
