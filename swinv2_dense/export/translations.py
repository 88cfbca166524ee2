"""ONNX translations of operators that torch.onnx does not know."""

from __future__ import annotations

from collections.abc import Callable


def TRANSLATIONS() -> dict[Callable, Callable]:
    return {}
