"""Report in one line why a part of a config cannot be built."""

from __future__ import annotations

import copy
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.registry import TRANSFORMS, DefaultScope, build_functions

from ..errors import ConfigError
from .config_file import short_path

# What constructors raise for invalid settings.
ERRORS = (
    AssertionError,
    AttributeError,
    ImportError,
    KeyError,
    NotImplementedError,
    TypeError,
    ValueError,
)


def build_error(error: BaseException) -> str | None:
    """The classes that were being built when an error was raised, and its message.

    None if none was, since the config is not to blame then.
    """
    steps = list(traceback.walk_tb(error.__traceback__))
    code = build_functions.build_from_cfg.__code__
    builds = [frame.f_locals for frame, _ in steps if frame.f_code is code]
    kinds = [names.get('obj_cls') or names['cfg'].get('type') for names in builds]
    if not kinds:
        return None
    chain = ' > '.join(dict.fromkeys(str(getattr(kind, '__name__', kind)) for kind in kinds))
    frame, line = steps[-1]
    text = ' '.join(str(error).split())
    return (
        f'{chain} cannot be built: {type(error).__name__}{f": {text}" if text else ""} '
        f'({short_path(frame.f_code.co_filename)}, line {line})'
    )


def check_transforms(key: str, pipeline: Any, scope: str | None) -> None:
    """Build the steps of a pipeline, which is cheap, and discard them.

    Raises:
        ConfigError: A step cannot be built.
    """
    for i, step in enumerate(pipeline if isinstance(pipeline, Sequence) else ()):
        if not isinstance(step, Mapping):
            continue
        try:
            with DefaultScope.overwrite_default_scope(scope):
                TRANSFORMS.build(copy.deepcopy(step))
        except ConfigError:
            raise
        except ERRORS as error:
            raise ConfigError(f'{key}.{i}: {build_error(error)}') from error
