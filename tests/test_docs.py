"""The pages: every command in them parses, every option exists, and the site builds strictly."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from commands import ROOT
from remote_browser import open_tab

from swinv2_dense.cli.options import PARSERS

PAGES = [
    *(ROOT / name for name in ('README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'SECURITY.md')),
    *sorted(ROOT.glob('docs/*.md')),
    *sorted(ROOT.glob('configs/*/README.md')),
    ROOT / 'data/README.md',
]
START = re.compile(r'(?:[A-Z_]+=\S+ )*(python tools/|python -m swinv2_dense |swinv2-dense |bash )')
SHELL_FLAGS = {'--stack', '--active', '--serve', '--slow', '--task'}  # of tools/*.sh


def commands_of(text: str) -> Iterator[str]:
    """Commands in code blocks and in `code`, with continued lines joined."""
    joined = re.sub(r'\\\n\s*', ' ', text)
    for block in re.findall(r'^```\w*\n(.*?)^```', joined, re.M | re.S):
        yield from (line.strip().removeprefix('$ ') for line in block.splitlines())
    prose = re.sub(r'^```.*?^```', '', joined, flags=re.M | re.S)
    yield from (' '.join(code.split()) for code in re.findall(r'`([^`]+)`', prose))


def found(page: Path) -> list[str]:
    return [line for line in commands_of(page.read_text()) if START.match(line)]


def words_of(command: str) -> list[str]:
    """Without settings of the environment and comments; `[--flag]` is given."""
    words = shlex.split(re.sub(r'[][]', '', re.sub(r'\[([-A-Z][^]]*)\]', r'\1', command)), True)
    while '=' in words[0]:
        words.pop(0)
    return words


def parse(name: str, words: list[str]) -> None:
    parser = PARSERS[name]()
    if name == 'infer':
        parser.parse_intermixed_args(words)
    else:
        parser.parse_args(words)


ALL = [(page.relative_to(ROOT), command) for page in PAGES for command in found(page)]


def test_there_are_many_commands():
    assert len(ALL) > 120 and len({page for page, _ in ALL}) > 20


@pytest.mark.parametrize('page', sorted({page for page, _ in ALL}), ids=str)
def test_every_command_parses(page, capsys):
    for command in (command for name, command in ALL if name == page):
        first, *words = words_of(command)
        if first == 'bash':
            assert (ROOT / words[0]).is_file(), command
            continue
        if words[0] == 'tools/NAME.py':
            continue
        if first == 'python' and words[0].startswith('tools/'):
            assert (ROOT / words[0]).is_file(), command
            name, words = Path(words[0]).stem, words[1:]
        else:
            name, *words = words[2:] if first == 'python' else words
        if name in ('COMMAND', 'NAME') or words in ([], ['--help']):
            continue
        try:
            parse(name, words)
        except SystemExit as end:
            if end.code:  # 0 after --help
                pytest.fail(f'{command}\n{capsys.readouterr().err[-300:]}')


def flags_of(parser: argparse.ArgumentParser) -> set[str]:
    found: set[str] = set()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found.update(*map(flags_of, action.choices.values()))
        found.update(action.option_strings)
    return found


def test_every_option_in_the_text_exists():
    known = set.union(SHELL_FLAGS, *(flags_of(parser()) for parser in PARSERS.values()))
    others = {'--kill-on-bad-exit'}  # of srun
    for page in PAGES:
        for code in re.findall(r'`(--[^`]+)`', page.read_text()):
            for flag in re.findall(r'(?<![\w-])--[a-z][\w-]*', code):
                assert flag in known | others, f'{page.relative_to(ROOT)}: {flag}'


def test_relative_links_lead_to_files():
    for page in PAGES:
        text = re.sub(r'^```.*?^```', '', page.read_text(), flags=re.M | re.S)
        for target in re.findall(r'\]\((?![a-z]+:|#)([^)\s#]+)', text):
            assert (page.parent / target).exists(), f'{page.relative_to(ROOT)}: {target}'


def test_every_page_has_a_place_on_the_site():
    """What the strict build checks, without mkdocs."""
    nav = yaml.safe_load((ROOT / 'mkdocs.yml').read_text())['nav']
    listed = [path for section in nav for entry in section.values() for path in pages_of(entry)]
    names = [page.relative_to(ROOT).as_posix().removeprefix('docs/') for page in PAGES[1:]]
    assert sorted(listed) == sorted(names)


def test_the_page_of_commands_lists_all():
    rows = re.findall(r'^\| `(\w+)` \| (.+) \|$', (ROOT / 'docs/commands.md').read_text(), re.M)
    assert [name for name, _ in rows] == list(PARSERS)
    for name, text in rows:
        assert ' '.join(PARSERS[name]().description.split()).startswith(text)


def pages_of(entries: list[dict[str, str]]) -> list[str]:
    return [path for entry in entries for path in entry.values()]


def test_the_readme_is_short():
    assert len((ROOT / 'README.md').read_text().splitlines()) <= 140


@pytest.fixture(scope='module')
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly."""
    for name in ('mkdocs', 'material', 'mkdocstrings_handlers.python'):
        pytest.importorskip(name)
    folder = tmp_path_factory.mktemp('site')
    done = subprocess.run(
        [sys.executable, '-m', 'mkdocs', 'build', '--strict', '--site-dir', str(folder)],
        cwd=ROOT, text=True, capture_output=True, env={**os.environ, 'NO_MKDOCS_2_WARNING': '1'},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.slow
def test_the_site_has_every_page(site):
    for page in PAGES[1:]:
        name = page.relative_to(ROOT).as_posix().removeprefix('docs/').removesuffix('.md')
        name = re.sub(r'(^|/)README$', r'\1index', name)
        assert (site / f'{name}.html').is_file(), name
    text = (site / 'commands.html').read_text()
    commands = [*(f'{name}.py' for name in PARSERS), 'prepare_data.py coco', 'prepare_data.py own']
    assert all(f'usage: {command} ' in text for command in commands)
    assert 'SwinV2OptimWrapperConstructor' in (site / 'api.html').read_text()


@pytest.mark.slow
@pytest.mark.parametrize('width', [400, 1280])
def test_pages_fit_the_window_and_load_nothing_from_elsewhere(site, width):
    pages = sorted(site.rglob('*.html'))
    with open_tab(pages[0].as_uri(), width) as tab:
        for page in pages:
            tab.call('Page.navigate', url=page.as_uri())
            tab.wait(f"location.href === '{page.as_uri()}' && document.readyState === 'complete'")
            inner, outer = tab.value('[document.documentElement.scrollWidth, innerWidth]')
            assert inner <= outer, page
        assert tab.errors == []
        assert [url for url in tab.asked if not url.startswith(('file:', 'data:', 'blob:'))] == []
