"""Time of repeated steps, on a CUDA device or a CPU."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

WARM_UPS = {'cuda': 2, 'cpu': 1}  # kernels are compiled and chosen, memory is allocated
MOST = 20


def milliseconds(
    step: Callable[[], None], reset: Callable[[], None], device: str, least: int, budget: float
) -> list[float]:
    """Times of a step, after warm-ups.

    Args:
        step: What is timed.
        reset: Called before each step, untimed.
        device: 'cuda' or 'cpu'.
        least: Number of timed steps, at least.
        budget: Seconds after which no further step is timed beyond `least`; at most `MOST` are.
    """
    clock = _cuda if device == 'cuda' else _cpu
    for _ in range(WARM_UPS[device]):
        reset()
        step()
    times: list[float] = []
    end = time.perf_counter() + budget
    while len(times) < least or (len(times) < MOST and time.perf_counter() < end):
        reset()
        times.append(clock(step))
    return times


def _cuda(step: Callable[[], None]) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    step()
    end.record()
    end.synchronize()
    return start.elapsed_time(end)


def _cpu(step: Callable[[], None]) -> float:
    start = time.perf_counter()
    step()
    return (time.perf_counter() - start) * 1e3
