"""Find settings of data loaders that torch would reject when it builds them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..errors import ConfigError

OF_WORKERS = {
    'persistent_workers': False,
    'prefetch_factor': None,
    'multiprocessing_context': None,
}


def check_loaders(cfg: Mapping, loaders: Iterable[str]) -> None:
    """Check batch size and workers of the loaders ('train', 'val', 'test').

    Raises:
        ConfigError: torch would reject a setting.
    """
    for name in loaders:
        key, loader = f'{name}_dataloader', cfg.get(f'{name}_dataloader') or {}
        for setting, least in (('batch_size', 1), ('num_workers', 0)):
            value = loader.get(setting, least)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ConfigError(
                    f'{key}.{setting}={value!r} must be an integer of at least {least}'
                )
        if loader.get('num_workers', 0) == 0:
            for setting, off in OF_WORKERS.items():
                if loader.get(setting, off) not in (off, None, False):
                    raise ConfigError(
                        f'{key}.{setting}={loader[setting]!r} needs workers, and '
                        f'{key}.num_workers is 0: add --cfg-options {key}.{setting}={off}, or set '
                        f'{key}.num_workers to at least 1'
                    )
