"""Windows as Triton kernels find them: their rows in the map, their offsets in the table.

    One axis of 9 tokens, window 4, padded to 12, shifted by 2. Window i begins at i * 4 - lead,
    lead = 2, and is cut where the padded axis begins and ends. A window without tokens of the map
    (the two last of the padding) is left out.

        token      0  1  2  3  4  5  6  7  8  .  .  .
        window     0  0  1  1  1  1  2  2  2  2

The position bias belongs to offsets. A table of td x th x tw of them is numbered row by row. With
tokens numbered likewise, p = (d * th + h) * tw + w, the offset of two tokens is found by the
difference of their numbers. Tables are flipped, so that it is p(key) - p(query), and a run of keys
reads a run of entries.

Sizes and windows are run-time values that are never specialized: multi-scale training compiles
each kernel once.
"""

from __future__ import annotations

import triton
import triton.language as tl

# fmt: off
GEOMETRY = [
    'D', 'H', 'W', 'window_d', 'window_h', 'window_w', 'lead_d', 'lead_h', 'lead_w', 'num_heads',
]
# fmt: on


@triton.jit
def _axis(index, size, window, lead):
    """First token of a window, how many were cut off before it, how many of the padded axis it
    has, and how many of the map."""
    first = index * window - lead
    start = tl.maximum(first, 0)
    end = tl.minimum(first + window, tl.cdiv(size, window) * window)
    return start, start - first, end - start, tl.minimum(end, size) - start


@triton.jit
def locate(index, shape, window, lead):
    """A window, given its number in the batch: the row of its first token in the map, and along
    each axis the tokens cut off before it, its tokens in the padded map, and those in the map."""
    count_d = tl.cdiv(shape[0] + lead[0], window[0])
    count_h = tl.cdiv(shape[1] + lead[1], window[1])
    count_w = tl.cdiv(shape[2] + lead[2], window[2])
    line = index // count_w
    plane = line // count_h
    sample = plane // count_d
    d, cut_d, size_d, real_d = _axis(plane - sample * count_d, shape[0], window[0], lead[0])
    h, cut_h, size_h, real_h = _axis(line - plane * count_h, shape[1], window[1], lead[1])
    w, cut_w, size_w, real_w = _axis(index - line * count_w, shape[2], window[2], lead[2])
    row = ((sample.to(tl.int64) * shape[0] + d) * shape[1] + h) * shape[2] + w
    return row, (cut_d, cut_h, cut_w), (size_d, size_h, size_w), (real_d, real_h, real_w)


@triton.jit
def _quotient(n, divisor):
    """n // divisor in two instructions per n, where division is some twenty.

    With m = 2^31 // divisor + 1, n m / 2^31 exceeds n / divisor by less than 1 / divisor as long as
    n * divisor < 2^31, which `Geometry` makes sure of.
    """
    m = 2147483648 // divisor.to(tl.uint32) + 1
    return tl.umulhi((2 * n).to(tl.uint32), m).to(tl.int32)


@triton.jit
def _lines(n, size):
    """Line and plane of tokens n in a window of this size, numbered from its first."""
    return _quotient(n, size[2]), _quotient(n, size[1] * size[2])


@triton.jit
def renumber(n, size, shape):
    """Numbers of tokens n of a window in a map of this shape, in whose corner it lies."""
    line, plane = _lines(n, size)
    return n + line * (shape[2] - size[2]) + plane * ((shape[1] - size[1]) * shape[2])


@triton.jit
def within(n, size, cut, part):
    """Whether tokens n of a window belong to its part of this size, after `cut` tokens."""
    line, plane = _lines(n, size)
    d, h, w = plane - cut[0], line - plane * size[1] - cut[1], n - line * size[2] - cut[2]
    # Six comparisons by one: the sign of any. Masks of each cost registers.
    return (d | h | w | (part[0] - 1 - d) | (part[1] - 1 - h) | (part[2] - 1 - w)) >= 0


@triton.jit
def table_shape(window):
    """Offsets within a window along each axis."""
    return 2 * window[0] - 1, 2 * window[1] - 1, 2 * window[2] - 1


@triton.jit
def center(window):
    """The entry of offset 0; a table has twice as many entries, and one."""
    last = (window[0] - 1) * (2 * window[1] - 1) + window[1] - 1
    return last * (2 * window[2] - 1) + window[2] - 1
