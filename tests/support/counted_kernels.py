"""Count what Triton's interpreter does for each kernel that is launched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest
from triton.runtime.interpreter import interpreter_builder


@dataclass
class Counted:
    """Operations of one launch; masked elements are not counted, except for gathers."""

    grid: tuple[int, ...]
    bytes: int = 0  # of loads and stores, without gathers
    flops: int = 0
    exponentials: int = 0
    gathers: int = 0  # elements of 2-D loads of fp32, masked or not
    atomics: int = 0
    addresses: dict[int, set[int]] = field(default_factory=dict)  # touched, by bytes per element

    @property
    def distinct_bytes(self) -> int:
        return sum(size * len(found) for size, found in self.addresses.items())


@contextmanager
def counted_kernels() -> Iterator[list[Counted]]:
    """A list that grows by one entry per launch."""
    launches: list[Counted] = []

    def touch(pointers, mask) -> tuple[int, int]:
        size = pointers.get_element_ty().primitive_bitwidth // 8
        places = np.asarray(pointers.data)[np.asarray(mask.data, dtype=bool)]
        launches[-1].addresses.setdefault(size, set()).update(places.tolist())
        return size, places.size

    def grid(*dims: int) -> None:
        launches.append(Counted(dims))

    def load(pointers, mask, *_: object) -> None:
        size, number = touch(pointers, mask)
        if np.ndim(pointers.data) == 2 and size == 4:
            launches[-1].gathers += pointers.data.size
        else:
            launches[-1].bytes += size * number

    def store(pointers, _: object, mask, *__: object) -> None:
        size, number = touch(pointers, mask)
        launches[-1].bytes += size * number

    def atomic(_: object, pointers, __: object, mask, *___: object) -> None:
        launches[-1].atomics += touch(pointers, mask)[1]

    def dot(a, b, *_: object) -> None:
        launches[-1].flops += 2 * a.data.size * b.data.shape[1]

    def exp2(x) -> None:
        launches[-1].exponentials += x.data.size

    observers = dict(
        set_grid_dim=grid,
        create_masked_load=load,
        create_masked_store=store,
        create_atomic_rmw=atomic,
        create_dot=dot,
        create_exp2=exp2,
    )

    def observed(observer: Callable, original: Callable) -> Callable:
        def call(*args, **kwargs):
            observer(*args, **kwargs)
            return original(*args, **kwargs)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name, observer in observers.items():
            original = getattr(interpreter_builder, name)
            patch.setattr(interpreter_builder, name, observed(observer, original))
        yield launches
