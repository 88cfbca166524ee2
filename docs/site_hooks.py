"""Hooks of mkdocs.yml: pages and files from outside of docs/, and links that fit both places.

Pages link to each other by paths in the repository, so that they can be read there. On the site,
a file keeps its path, except that docs/ is the root:

    docs/scaling.md            scaling.md
    configs/video/README.md    configs/video/README.md
    CHANGELOG.md               CHANGELOG.md
"""

from __future__ import annotations

import posixpath
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PAGES = ('CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md', 'data/README.md')
AS_TEXT = '.txt'  # a suffix of files that browsers show
LINK = re.compile(r'(?<=\]\()(?![a-z]+:|#)([^)\s#]+)(#[^)\s]*)?(?=\))')
FENCE = re.compile(r'^```.*?^```', re.M | re.S)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages, and the configs that they link to."""
    pages = [ROOT / name for name in PAGES] + sorted(ROOT.glob('configs/*/README.md'))
    for path in pages:
        name = path.relative_to(ROOT).as_posix()
        files.append(File.generated(config, name, content=path.read_text(encoding='utf-8')))
    listed = [*ROOT.glob('configs/*/metafile.yml'), *sorted(ROOT.glob('configs/**/*.py'))]
    for path in [ROOT / 'model-index.yml', *listed]:
        name = path.relative_to(ROOT).as_posix() + AS_TEXT
        files.append(File.generated(config, name, content=path.read_text(encoding='utf-8')))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Translate links between places in the repository into links between pages."""
    source = page.file.src_uri
    if source == 'commands.md':
        markdown = f'{markdown}\n{options_of_commands()}'
    home = source if (ROOT / source).is_file() else f'docs/{source}'

    def translated(match: re.Match) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(home), match[1]))
        on_site = target.removeprefix('docs/')
        if Path(target).suffix in ('.py', '.yml'):
            on_site += AS_TEXT
        if target == 'README.md':
            on_site = 'index.md'
        if files.get_file_from_path(on_site) is None and (ROOT / target).is_dir():
            return posixpath.relpath('configs/classification/README.md', posixpath.dirname(source))
        return posixpath.relpath(on_site, posixpath.dirname(source) or '.') + (match[2] or '')

    parts, end = [], 0
    for fence in FENCE.finditer(markdown):  # code is left as it is
        parts += [LINK.sub(translated, markdown[end : fence.start()]), fence[0]]
        end = fence.end()
    return ''.join([*parts, LINK.sub(translated, markdown[end:])])


def options_of_commands() -> str:
    """The help of every command."""
    parts = []
    for path in sorted(ROOT.glob('tools/*.py')):
        if 'launch' in path.read_text():
            parts.append(f'## {path.stem}\n\n```text\n{_help(path)}\n```\n')
            for name in _subcommands(path):
                parts.append(f'### {path.stem} {name}\n\n```text\n{_help(path, name)}\n```\n')
    return '\n'.join(parts)


def _help(path: Path, *words: str) -> str:
    command = [sys.executable, str(path), *words, '--help']
    environment = {'COLUMNS': '90', 'PATH': '', 'PYTHONPATH': str(ROOT), 'NO_COLOR': '1'}
    done = subprocess.run(  # noqa: S603  our own commands
        command, capture_output=True, text=True, check=True, env=environment
    )
    return done.stdout.strip()


def _subcommands(path: Path) -> list[str]:
    """Those that a command lists below its positional arguments."""
    text = _help(path)
    if not re.match(r'usage: .* \.\.\.$', text.partition('\n\n')[0]):
        return []
    section = text.partition('positional arguments:\n')[2].partition('\n\n')[0]
    return re.findall(r'^    ([a-z]\w*)', section, re.M)
