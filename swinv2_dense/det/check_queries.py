"""Check that a detector has a query for every object."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..errors import ConfigError


def check_queries(model: Mapping, files: Iterable[tuple[str, int]]) -> None:
    """Compare the number of queries with the most objects of a training image.

    Args:
        model: Config of the detector.
        files: Names of annotation files, and the most objects that an image in them has.

    Raises:
        ConfigError: An image has more objects than there are queries to find them.
    """
    head = model.get('panoptic_head') or {}
    key = 'panoptic_head.num_queries' if 'num_queries' in head else 'num_queries'
    queries = head.get('num_queries') or model.get('num_queries')
    for path, most in files:
        if isinstance(queries, int) and most > queries:
            raise ConfigError(
                f'model.{key}={queries}, but an image of {path} has {most} objects; a query finds '
                'one, so use more'
            )
