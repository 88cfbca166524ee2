"""Pages are self-contained, harmless, and work in a browser."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from browser import run_in_page

from swinv2_dense.errors import ConfigError
from swinv2_dense.reports.confusion import confusion_blocks
from swinv2_dense.reports.page import (
    Bars,
    Gallery,
    Item,
    Lines,
    Numbers,
    Page,
    Panel,
    Shape,
    Table,
    write_page,
)
from swinv2_dense.reports.thumbnails import thumbnail

EVIL = '</script><script>window.faults.push("escaped")</script><img src=x onerror=alert(1)>'


def page(edge: int = 64, count: int = 3) -> Page:
    """A page with every kind of block, and names that try to be HTML."""
    rng = np.random.default_rng(0)
    items = []
    for index in range(count):
        picture = thumbnail(rng.integers(0, 255, (edge, edge, 3), np.uint8), edge)
        kind = ('missed', 'background', '')[index % 3]
        shape = Shape([5, 5, 20, 20], 'rgb(0 90 0)', EVIL, 0.2 + 0.3 * (index % 3), bool(kind))
        items.append(
            Item(
                picture, edge, edge, f'{index}.png', [Panel('Prediction', shapes=[shape])],
                [EVIL], [('car', kind)] if kind else [],
            )
        )  # fmt: skip
    axis = dict(name='x', min=0.0, max=1.0)
    columns = [dict(name='Class', kind='text'), dict(name='AP', kind='bar', digits=2)]
    rows = [['a', 0.5], ['b', None], ['c', 0.9], [EVIL, 0.1]]
    counts = [[5, 1], [2, 7]]
    series = [dict(name=EVIL, points=[[0.0, 1.0], [1.0, 0.0]])]
    return Page(
        EVIL,
        [('Config', EVIL)],
        [
            Numbers('Numbers', [dict(name=EVIL, value=0.25, digits=3)]),
            Table('Table', columns, rows, EVIL),
            Lines('Lines', axis, axis, series),
            Bars('Bars', [dict(name=EVIL, value=0.3, note=EVIL)]),
            *confusion_blocks(['car', EVIL], counts, {}),
            Gallery('Gallery', items, ['car'], ['missed', 'background'], 0.3),
        ],
    )


def test_names_of_data_are_never_markup(tmp_path):
    file = write_page(page(), tmp_path / 'report')
    text = file.read_text()
    assert text.count('<script') == 2  # the data, and our code
    assert '<img' not in text
    data = re.search('<script type="application/json" id="data">(.*?)</script>', text)[1]
    assert json.loads(data)['title'] == EVIL
    assert not re.search(r'(src|href)="https?:', text)  # nothing is loaded


def test_filters_sorting_and_zoom_work_in_a_browser(tmp_path):
    file = write_page(page(), tmp_path / 'report')
    found = run_in_page(
        file,
        """
const cards = () => texts('.card .caption');
const texts = (where) => [...document.querySelectorAll(where)].map((n) => n.textContent);
const column = () => texts('#part-1 td:first-child');
const shapes = () => document.querySelectorAll('.card .shape').length;
const all = cards(), allShapes = shapes();
const error = document.querySelector('select[name=errors]');
error.value = 'missed';
error.dispatchEvent(new Event('input', { bubbles: true }));
const filtered = cards();
error.value = '';
const range = document.querySelector('input[name=threshold]');
range.value = '0.6';
range.dispatchEvent(new Event('input', { bubbles: true }));
const fewerShapes = shapes();
const search = document.querySelector('input[name=file]');
search.value = '2.PNG';
search.dispatchEvent(new Event('input', { bubbles: true }));
const searched = cards();
document.querySelectorAll('#part-1 th button')[1].click();
const down = column();
document.querySelectorAll('#part-1 th button')[1].click();
const up = column();
document.querySelector('.card button').click();
const viewer = document.getElementById('viewer');
const enlarged = viewer.open && viewer.querySelector('img').getBoundingClientRect().width;
viewer.querySelector('.close').click();
const box = document.querySelector('.legend input');
box.click();
const hidden = document.querySelector('.chart g').style.display;
return { all, filtered, searched, down, up, enlarged, closed: !viewer.open, hidden,
         allShapes, fewerShapes, markup: document.querySelectorAll('main script').length };
""",
    )
    assert found['faults'] == []
    assert found['all'] == ['0.png', '1.png', '2.png'] and found['filtered'] == ['0.png']
    assert found['searched'] == ['2.png']
    assert found['down'][:3] == ['c', 'a', EVIL] and found['up'][:3] == [EVIL, 'a', 'c']
    assert found['down'][3] == found['up'][3] == 'b'  # undefined values stay last
    assert found['enlarged'] > 400 and found['closed']
    assert found['hidden'] == 'none' and found['markup'] == 0
    assert (found['allShapes'], found['fewerShapes']) == (2, 1)


@pytest.mark.parametrize('width', [500, 1280])
def test_nothing_is_wider_than_the_window(tmp_path, width):
    file = write_page(page(), tmp_path / 'report')
    found = run_in_page(
        file,
        'return { page: document.documentElement.scrollWidth, window: window.innerWidth };',
        width,
    )
    assert found['faults'] == [] and found['page'] <= found['window']


def test_many_pictures_are_beside_the_page(tmp_path):
    content = page(edge=480, count=4)
    for item in content.blocks[-1].items:  # noise does not compress: 4 pictures, 20 MB in all
        item.picture.content += bytes(5_000_000)
    file = write_page(content, tmp_path / 'report')
    assert file.stat().st_size < 1_000_000
    assert len(list((tmp_path / 'report/thumbnails').iterdir())) == 4
    found = run_in_page(file, "return { width: document.querySelector('.card img').naturalWidth };")
    assert found == dict(width=480, faults=[])
    write_page(page(), tmp_path / 'report')  # replaced as a whole
    assert [path.name for path in (tmp_path / 'report').iterdir()] == ['index.html']


def test_other_folders_are_not_replaced(tmp_path):
    (tmp_path / 'notes.txt').write_text('mine')
    with pytest.raises(ConfigError, match='holds notes.txt'):
        write_page(page(), tmp_path)
    assert Path(tmp_path, 'notes.txt').read_text() == 'mine'


def test_matrices_of_many_classes_keep_those_with_mistakes():
    counts = np.diag(np.full(300, 9))
    counts[17, 230] = 3
    matrix, table = confusion_blocks([f'c{i}' for i in range(300)], counts.tolist(), {})
    assert len(matrix.rows) == 40 and {'c17', 'c230'} < set(matrix.rows)
    assert table.rows == [['c17', 'c230', 3, 0.25]]
