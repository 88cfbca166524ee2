"""Fonts, captions, clips and names of pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from mmengine.logging import MMLogger
from pictures import boxes, gray, has
from PIL import Image

from swinv2_dense.drawing import fonts, text
from swinv2_dense.drawing.clips import clip_sheet, frames_of, labelled
from swinv2_dense.drawing.files import picture_names
from swinv2_dense.drawing.fonts import legible_names, printable, runs
from swinv2_dense.drawing.objects import Objects, detection_sheet
from swinv2_dense.drawing.regions import label_regions, segmentation_sheet
from swinv2_dense.drawing.sheet import displayable, write_picture
from swinv2_dense.drawing.style import Style


@pytest.fixture
def only_boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with DejaVu, and a font with one Chinese character, a filled square."""
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
    found = [str(tmp_path / 'broken.ttf'), str(tmp_path / 'square.ttf')]
    clear()
    monkeypatch.setattr(font_manager, 'findSystemFonts', lambda: found)
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


def test_names_without_a_font_become_numbers_and_the_log_says_why(only_boxes, tmp_path):
    MMLogger.get_instance('fonts', log_file=str(tmp_path / 'log'))
    for _ in range(2):
        names = legible_names(('人', '自行车', 'dog', 'हाथी', '人 ok'))
        assert names == ('人', 'class 1', 'dog', 'class 3', '人 ok')
    (line,) = (tmp_path / 'log').read_text().splitlines()  # once
    assert "2 class names, first '自行车'" in line
    assert 'fonts-noto-cjk' in line and 'Noto Sans Devanagari' in line
    assert printable('12_自行车.jpg') == '12_….jpg'


@pytest.mark.parametrize(
    'name', ['автомобиль', 'سيارة', 'מכונית', 'mañana', 'e\u0301cole', 'Ωμέγα']
)
def test_scripts_of_dejavu_are_drawn(name: str):
    """No letter is the box of a missing character."""
    (shown,) = legible_names((name,))
    assert not shown.startswith('class')
    ((path, _),) = runs(shown)
    assert (text.render(shown, 30) > 0).any() and 'DejaVu' in path


def test_no_letter_is_cut_off():
    """Accents, descenders, and letters that exceed their advance width."""
    for line in ('ÂÅÇgjpq', 'fffj', 'Ǻ̂', 'W' * 30):
        mask = np.pad(text.render(line, 40), 0)
        assert mask[0].max() < 200 and mask[:, -1].max() < 255


def test_lines_are_wrapped_at_spaces_and_within_long_words():
    lines = text.wrapped('one two three_without_any_blank_in_it four', 14, 100)
    assert ''.join(lines).replace(' ', '') == 'onetwothree_without_any_blank_in_itfour'
    assert all(text.render(line, 14).shape[1] <= 100 for line in lines)
    assert lines[0] == 'one two'


# Sheets, clips and files


@pytest.mark.parametrize(
    'name', ['a', 'a name of a file that is much longer than the picture ' * 3]
)
def test_captions_are_above_and_not_cut_off(name: str):
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
    """Frames are enlarged, in order; a wrong prediction is red, even with a common prefix."""
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


def test_lines_on_a_frame_are_wrapped():
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
def test_pictures_are_written_atomically_in_new_folders(tmp_path, suffix):
    picture = np.zeros((20, 30, 3), np.uint8)
    picture[..., 0] = 250
    write_picture(tmp_path / 'a' / f'p{suffix}', picture)
    read = np.asarray(Image.open(tmp_path / 'a' / f'p{suffix}'))
    assert np.abs(read.astype(int) - picture).max() < 8
    assert len(list((tmp_path / 'a').iterdir())) == 1


def test_pictures_too_large_for_jpeg_are_reduced(tmp_path):
    write_picture(tmp_path / 'a.jpg', np.full((4, 70000, 3), 90, np.uint8))
    with Image.open(tmp_path / 'a.jpg') as file:
        assert 65000 < file.width <= 65500
