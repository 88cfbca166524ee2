"""Read a config file; errors are reported in one line, with file and line.

mmengine reads the file. If that fails, the frames of the traceback tell in which file of the chain
of bases, and at which line or key. No message is parsed.
"""

from __future__ import annotations

import importlib.util
import os
import pkgutil
import traceback
from collections.abc import Mapping
from types import FrameType

from mmengine.config import Config
from mmengine.config.lazy import LazyObject
from mmengine.utils import import_modules_from_strings

from ..errors import ConfigError
from .names import nearest, suggestion

SUFFIXES = ('.py', '.json', '.yaml', '.yml')  # what mmengine reads
CHECKPOINTS = ('.pth', '.pt', '.safetensors', '.ckpt', '.bin')


def load_config_file(path: str) -> Config:
    """The config in a file, with its bases merged and its `custom_imports` imported.

    Raises:
        ConfigError: The file, one of its bases or one of its imports cannot be used.
    """
    _check_path(path)
    _check_circle([os.path.abspath(path)])
    try:
        cfg = Config.fromfile(path, import_custom_modules=False)
    except ConfigError as error:  # from a function of this package that the config calls
        raise ConfigError(str(error)) from error
    except Exception as error:  # a config is a program: it may raise anything
        raise ConfigError(f'config {_reason(path, error)}') from error
    import_custom_modules(path, cfg.get('custom_imports'))
    return cfg


def _check_path(path: str) -> None:
    if os.path.isdir(path):
        inside = sorted(name for name in os.listdir(path) if name.endswith('.py'))
        listed = f', e.g. {os.path.join(path, inside[0])}' if inside else ''
        raise ConfigError(f'config {path!r} is a folder; give a file{listed}')
    if not os.path.isfile(path):
        raise ConfigError(f'config {path!r} does not exist{_sibling(path)}')
    if path.lower().endswith(CHECKPOINTS):
        raise ConfigError(f'config {path!r} is a checkpoint; the config (.py) comes first')
    if not path.lower().endswith(SUFFIXES):
        raise ConfigError(f'config {path!r} must end in one of {", ".join(SUFFIXES)}')


def bases_of(file: str) -> list[str]:
    """Paths of the files that `_base_` of a file names; empty if they cannot be determined."""
    try:
        return [Config._get_cfg_path(base, file)[0] for base in Config._get_base_files(file)]
    except Exception:  # loading the file reports the reason
        return []


def _check_circle(chain: list[str]) -> None:
    """Refuse a file that is its own base: mmengine takes many seconds to fail on it."""
    for base in bases_of(chain[-1]):
        base = os.path.abspath(base)
        if base in chain:
            raise ConfigError(f'config {chain[0]}: {_circle([*chain, base])}')
        _check_circle([*chain, base])


def _circle(chain: list[str]) -> str:
    names = [os.path.basename(name) for name in chain[chain.index(chain[-1]) :]]
    return f'its bases form a circle, {" -> ".join(names)}; remove one of these _base_ entries'


def _sibling(path: str) -> str:
    """A hint at a file with a similar name in the same folder."""
    folder, name = os.path.split(path)
    try:
        names = os.listdir(folder or '.')
    except OSError:
        return f': there is no folder {folder!r}' if folder else ''
    found = nearest(name, (other for other in names if other.endswith(SUFFIXES)))
    return f'; did you mean {os.path.join(folder, found[0])!r}?' if found else ''


def _reason(path: str, error: Exception) -> str:
    """Where a config failed, and why."""
    frames = list(dict.fromkeys(frame for frame, _ in traceback.walk_tb(error.__traceback__)))
    lines = dict(traceback.walk_tb(error.__traceback__))
    readers = [f for f in frames if f.f_code.co_name in ('_file2dict', '_parse_lazy_import')]
    chain = [os.path.abspath(frame.f_locals['filename']) for frame in readers] or [path]
    file = short_path(chain[-1])
    if len(set(chain)) < len(chain):
        end = next(i for i, name in enumerate(chain) if name in chain[:i])
        return f'{path}: {_circle(chain[: end + 1])}'
    if isinstance(error, SyntaxError):
        return _syntax_error(file, error)
    if len(chain) > 1 and not os.path.isfile(chain[-1]):
        return f'{short_path(chain[-2])}: its base {file!r} does not exist{_sibling(file)}'
    external = [f for f in frames if f.f_code.co_name == '_get_external_cfg_base_path']
    if external and isinstance(error, FileNotFoundError):  # `mmdet::x.py`
        given, base = readers[-1].f_locals['base_cfg_path'], external[-1].f_locals['cfg_path']
        return f'{file}: its base {given!r} does not exist{_sibling(base)}'
    inside = [frame for frame in frames if os.path.abspath(frame.f_code.co_filename) in chain]
    if inside:
        place = f'{short_path(inside[-1].f_code.co_filename)}, line {lines[inside[-1]]}'
        if isinstance(frames[-1].f_locals.get('self'), LazyObject):
            return (
                f'{place}: a config cannot call what it imports with an import statement; write '
                "__import__('PACKAGE') instead"
            )
        return f'{place}: {_told(error)}{_similar_name(error, inside[-1])}'
    merges = [frame for frame in frames if frame.f_code.co_name == '_merge_a_into_b']
    if merges:
        return f'{file}: {merge_conflict(merges)}'
    duplicates = readers[-1].f_locals.get('duplicate_keys') if readers else None
    if duplicates and isinstance(error, KeyError):
        return _duplicate(file, sorted(duplicates)[0], readers[-1])
    return f'{file}: {_told(error)}'


def short_path(path: str) -> str:
    """A path below the current folder relative to it; others unchanged."""
    inside = os.path.abspath(path).startswith(os.getcwd() + os.sep)
    return os.path.relpath(path) if inside else os.path.normpath(path)


def _told(error: BaseException) -> str:
    """Kind and message of an error in one line; a KeyError's message is only the key."""
    text = ' '.join(str(error).split())
    if isinstance(error, ConfigError):  # from a function that the config calls
        return text
    return f'{type(error).__name__}: {text}' if text else type(error).__name__


def _syntax_error(file: str, error: SyntaxError) -> str:
    first = error
    while first.lineno is None and isinstance(first.__context__, SyntaxError):
        first = first.__context__  # mmengine raises a second one without the line
    code = (first.text or '').strip()
    return f'{file}, line {first.lineno}: {first.msg}' + (f': {code}' if code else '')


def _similar_name(error: Exception, frame: FrameType) -> str:
    """Suggest a defined name, for a NameError or a missing attribute or key."""
    if isinstance(error, AttributeError):
        owner, name = error.obj, error.name
        known = list(owner) if isinstance(owner, Mapping) else dir(owner)
    elif isinstance(error, KeyError):
        name, known = str(error.args[0]) if error.args else '', []
    else:
        name, known = getattr(error, 'name', None), [*frame.f_globals, *frame.f_locals]
    return suggestion(name, known) if name else ''


def merge_conflict(merges: list[FrameType]) -> str:
    """Describe what `_merge_a_into_b` could not merge, from its frames; the last one failed."""
    path = '.'.join(str(frame.f_locals['k']) for frame in merges)
    last = merges[-1].f_locals
    base = last['b'].get(last['k'])
    return (
        f'{path} is a dict here but {base!r} in the base, which cannot be merged; write '
        f'{path.rpartition(".")[2]}=dict(_delete_=True, ...) to replace it'
    )


def _duplicate(file: str, key: str, reader: FrameType) -> str:
    """Name the two bases of a file that set the same key."""
    second = reader.f_locals['base_cfg_path']
    first = ''
    try:
        for base in bases_of(file):
            if key in Config.fromfile(base, import_custom_modules=False):
                first = f'{short_path(base)} and '
                break
    except Exception:  # the message is useful without the first name, too
        first = 'an earlier one and '
    return (
        f'{file}: two of its bases set {key!r}: {first}{short_path(second)}. Keep one of these '
        f'bases, and set {key} in {os.path.basename(file)}'
    )


def import_custom_modules(path: str, settings: Mapping | None) -> None:
    """Import what a config names in `custom_imports`.

    Raises:
        ConfigError: A module does not exist or cannot be imported.
    """
    if not settings:
        return
    allowed = ('imports', 'allow_failed_imports')
    if not isinstance(settings, Mapping) or not set(settings) <= set(allowed):
        raise ConfigError(
            f'config {path}: custom_imports={settings!r} must be dict(imports=[MODULE, ...])'
        )
    imports = settings.get('imports') or []
    for name in [imports] if isinstance(imports, str) else imports:
        try:
            import_modules_from_strings([name], settings.get('allow_failed_imports', False))
        except Exception as error:  # importing executes the module, which may raise anything
            reason = _import_reason(name, error)
            raise ConfigError(f'config {path}: custom_imports: {reason}') from error


def _import_reason(name: str, error: Exception) -> str:
    cause = error
    while cause.__cause__ or cause.__context__:
        cause = cause.__cause__ or cause.__context__
    missing = getattr(cause, 'name', None) if isinstance(cause, ModuleNotFoundError) else None
    if missing and (name == missing or name.startswith(f'{missing}.')):
        parent, _, last = missing.rpartition('.')
        spec = importlib.util.find_spec(parent) if parent else None
        folders = spec.submodule_search_locations if spec else None
        found = nearest(last, (module.name for module in pkgutil.iter_modules(folders)), 1, 0.75)
        meant = f'did you mean {".".join(filter(None, [parent, found[0]]))!r}? ' if found else ''
        return (
            f'there is no module {missing!r}; {meant}PYTHONPATH must include the folder that '
            'contains it'
        )
    frame = traceback.extract_tb(cause.__traceback__)[-1]
    return f'importing {name!r} failed: {_told(cause)} ({frame.filename}, line {frame.lineno})'
