"""Log backends besides the text log and mmengine's JSON lines."""

from __future__ import annotations

import importlib.util

from mmengine.config import Config, ConfigDict

from ..choices import LOG_BACKENDS
from ..errors import ConfigError


def log_to(cfg: Config, packages: list[str]) -> None:
    """Let mmengine's visualizer also write scalars for these packages.

    Raises:
        ConfigError: A package is not installed.
    """
    local = ConfigDict(type='LocalVisBackend')
    visualizer = cfg.setdefault('visualizer', ConfigDict(type='Visualizer'))
    backends = list(visualizer.get('vis_backends') or [local])
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise ConfigError(f'--log-to {package}: not installed; pip install {package}')
        if all(backend.get('type') != LOG_BACKENDS[package] for backend in backends):
            backends.append(ConfigDict(type=LOG_BACKENDS[package]))
    visualizer.vis_backends = backends
