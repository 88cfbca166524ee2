"""Objects, label maps and their colors, as properties of pixels."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from pictures import GRAY, boxes, gray, has

from swinv2_dense.drawing import text
from swinv2_dense.drawing.objects import Objects, detection_sheet, draw_objects
from swinv2_dense.drawing.palette import class_colors, default_colors, ink_on, smallest_distance
from swinv2_dense.drawing.regions import segmentation_sheet
from swinv2_dense.drawing.sheet import enlargement
from swinv2_dense.drawing.style import Style


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


def test_random_numbers_of_mmseg_are_not_a_palette():
    """Its datasets without a palette have them in their metainfo: two greens of five classes."""
    segmentation = pytest.importorskip('mmseg.datasets')
    metainfo = dict(classes=('a', 'b', 'c', 'd', 'e'))
    dataset = segmentation.BaseSegDataset(metainfo=metainfo, lazy_init=True)
    assert len(dataset.metainfo['palette']) == 5
    style = Style.of(dataset.metainfo)
    assert np.array_equal(style.colors, default_colors(5))


def test_equal_colors_of_a_palette_become_different():
    """As two of ADE20K's; the others stay."""
    colors = class_colors(4, [*OWN, OWN[0]])
    assert colors[:3].tolist() == OWN and smallest_distance(colors) > 0.1


def test_black_or_white_letters_by_contrast():
    assert ink_on((255, 255, 0)) == (0, 0, 0) and ink_on((0, 0, 120)) == (255, 255, 255)


# Objects


def masks_of(kind: str, bitmaps: np.ndarray):
    """The same masks in all representations of the libraries."""
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
    """In ground truth and prediction; other pixels do not change."""
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
    """SOLO's boxes are zeros; boxes may exceed the image, or have non-finite coordinates."""
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
    """Number of rows with letters of a label in this color."""
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
    """Compared with the same label on a picture with room on all sides."""
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
    """Four boxes at one position: every name is readable, as there is room around them."""
    style = Style('abcd', [[0, 0, 120], [120, 0, 0], [0, 80, 0], [80, 0, 80]])  # white letters
    near = boxes(*[(300 + i, 300 + i, 420 + i, 400 + i) for i in range(4)])
    picture = gray(700, 800)
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
    """Twenty RLE masks of the whole image do not become twenty arrays."""
    from pycocotools import mask as coco

    height, width = 900, 1200
    full = coco.encode(np.asfortranarray(np.ones((height, width), np.uint8)))
    found = Objects(
        boxes(*[(0, 0, width, height)] * 20), np.zeros(20, int), np.ones(20), [full] * 20
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
