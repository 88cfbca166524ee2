"""Models of the package's own configs, for configs of your own data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..errors import ConfigError


def model_of(path: str) -> Any:
    """The model of a config, for configs whose dataset and schedule are others.

    Bases must not define a key twice, so a config with a model, a dataset and a schedule cannot be
    a base next to another dataset.

    Args:
        path: What `swinv2_dense.config_path` returns.

    Raises:
        ConfigError: There is no such config.
    """
    if not Path(path).is_file():
        raise ConfigError(f'model_of({path!r}): there is no such config')
    return Config.fromfile(path).model
