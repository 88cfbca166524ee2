"""ONNX translations of operators that the exporter does not know.

Rooms with such operators add a function that returns their translations; it is called when a file
is written, because they need onnxscript.
"""

from __future__ import annotations

from collections.abc import Callable

Table = dict[Callable, Callable]  # by operator; takes its arguments, returns ONNX values

_SOURCES: list[Callable[[], Table]] = []


def register_translations(source: Callable[[], Table]) -> None:
    """Add translations for all files written from now on."""
    if source not in _SOURCES:
        _SOURCES.append(source)


def translations() -> Table:
    """All registered translations."""
    return {operator: function for source in _SOURCES for operator, function in source().items()}
