"""Triton kernels of window attention, for projected maps (B, D, H, W, 3C); images have D = 1.

A row of the map holds q, k and v of all heads of a token. Nothing is partitioned, shifted, masked
or copied: each program computes which rows its window consists of, see windows.py.

    One axis of 9 tokens, window 4, padded to 12, shifted by 2. Window i begins at i * 4 - lead,
    lead = 2, and is cut where the padded axis begins and ends. A window without tokens of the map
    (the two last of the padding) is left out.

        token      0  1  2  3  4  5  6  7  8  .  .  .
        window     0  0  1  1  1  1  2  2  2  2

Queries are tokens of the map, keys those of the padded map: q, k and v of a padded token are
`pad`, the bias of the projection. All logits are in base 2, so that `exp2` is their exponential.

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

LOG2E = tl.constexpr(1.4426950408889634)
# fmt: off
GEOMETRY = [
    'D', 'H', 'W', 'window_d', 'window_h', 'window_w', 'lead_d', 'lead_h', 'lead_w', 'num_heads',
]
# fmt: on


@triton.jit
def _axis(index, size, window, lead):
    """First token of a window, and how many tokens of the padded axis it has."""
    first = index * window - lead
    start = tl.maximum(first, 0)
    return start, tl.minimum(first + window, tl.cdiv(size, window) * window) - start


@triton.jit
def _place(index, shape, window, lead):
    """Sample of a window, given its number in the batch, and its number along each axis."""
    count_d = tl.cdiv(shape[0] + lead[0], window[0])
    count_h = tl.cdiv(shape[1] + lead[1], window[1])
    count_w = tl.cdiv(shape[2] + lead[2], window[2])
    return (
        index // (count_d * count_h * count_w),
        index // (count_h * count_w) % count_d,
        index // count_w % count_h,
        index % count_w,
    )


@triton.jit
def _window(index, shape, window, lead):
    """Sample, first token, size in the padded map, and size in the map of a window."""
    b, i, j, k = _place(index, shape, window, lead)
    d, size_d = _axis(i, shape[0], window[0], lead[0])
    h, size_h = _axis(j, shape[1], window[1], lead[1])
    w, size_w = _axis(k, shape[2], window[2], lead[2])
    real_d = tl.minimum(size_d, shape[0] - d)
    real_h = tl.minimum(size_h, shape[1] - h)
    real_w = tl.minimum(size_w, shape[2] - w)
    return b, (d, h, w), (size_d, size_h, size_w), (real_d, real_h, real_w)


@triton.jit
def _split(n, size):
    """Coordinates of tokens n in a window of this size.

    Integer division is some twenty instructions, this is two. It is exact up to four million: the
    distance to the next integer is at least 0.5 / divisor, the error n / divisor / 2^23.
    """
    x = n.to(tl.float32) + 0.5
    line = (x * (1.0 / size[2])).to(tl.int32)
    d = (x * (1.0 / (size[1] * size[2]))).to(tl.int32)
    return d, line - d * size[1], n - line * size[2]


@triton.jit
def _tokens(n, start, size, shape, window):
    """Tokens n of a window: their rows, whether they lie in the map, and in the padded map."""
    d, h, w = _split(n, size)
    d, h, w = d + start[0], h + start[1], w + start[2]
    row = (d * shape[1] + h) * shape[2] + w
    exists = (n < size[0] * size[1] * size[2]) & (d >= 0) & (h >= 0) & (w >= 0)
    inside = exists & (d < shape[0]) & (h < shape[1]) & (w < shape[2])
    exists &= d < tl.cdiv(shape[0], window[0]) * window[0]
    exists &= h < tl.cdiv(shape[1], window[1]) * window[1]
    exists &= w < tl.cdiv(shape[2], window[2]) * window[2]
    return row, inside, exists


@triton.jit
def _position(n, size, window):
    """Numbers of tokens n in a map as wide as the table."""
    d, h, w = _split(n, size)
    return (d * (2 * window[1] - 1) + h) * (2 * window[2] - 1) + w


@triton.jit
def _center(window):
    """The entry of offset 0; a table has twice as many entries, and one."""
    last = (window[0] - 1) * (2 * window[1] - 1) + window[1] - 1
    return last * (2 * window[2] - 1) + window[2] - 1


@triton.jit
def _read(base, row, inside, stride, HEAD: tl.constexpr):
    """Vectors of a head, (rows, HEAD), of tokens in the map; zero otherwise."""
    place = base + row[:, None] * stride + tl.arange(0, HEAD)[None, :]
    return tl.load(place, mask=inside[:, None], other=0.0)


@triton.jit
def _store(base, x, row, inside, stride, HEAD: tl.constexpr):
    place = base + row[:, None] * stride + tl.arange(0, HEAD)[None, :]
    tl.store(place, x.to(base.dtype.element_ty), mask=inside[:, None])


@triton.jit
def _project(qkv, pad, part, row, inside, stride, HEAD: tl.constexpr):
    """q, k or v of a head, that of padded tokens included, in fp32."""
    x = _read(qkv + part, row, inside, stride, HEAD).to(tl.float32)
    padded = tl.load(pad + part + tl.arange(0, HEAD)).to(tl.float32)
    return tl.where(inside[:, None], x, padded[None, :])


@triton.jit
def _dot(a, b, PRODUCT: tl.constexpr, PRECISION: tl.constexpr):
    """a b in fp32. PRODUCT is the dtype of a and b, or fp32 in the interpreter, which cannot
    multiply bf16."""
    return tl.dot(a.to(PRODUCT), b.to(PRODUCT), input_precision=PRECISION)


@triton.jit
def _norm(x, COSINE: tl.constexpr, EPS: tl.constexpr):
    """What rows are divided by: see `safe_norm` of precision.py; 1 for dot products."""
    norm = tl.full([x.shape[0]], 1.0, tl.float32)
    if COSINE:
        norm = tl.sqrt(tl.sum(x * x, 1))
        if EPS > 0:
            norm += EPS
        else:
            norm = tl.where(norm > 1e-12, norm, 1.0)
    return norm[:, None]


@triton.jit
def _through_norm(grad, y, norm, COSINE: tl.constexpr, EPS: tl.constexpr):
    """Gradient of x from that of y = x / norm: see `to_inputs` of similarity.py."""
    if COSINE:
        along = tl.sum(grad * y, 1)[:, None]
        if EPS > 0:
            along *= norm / tl.maximum(norm - EPS, 1e-12)
        grad = (grad - y * along) / norm
    return grad


@triton.jit(do_not_specialize=GEOMETRY)
def forward_kernel(
    qkv, pad, scale, table, out, lse,
    D, H, W, window_d, window_h, window_w, lead_d, lead_h, lead_w, num_heads,
    HEAD: tl.constexpr, TILE_Q: tl.constexpr, TILE_K: tl.constexpr,
    PRODUCT: tl.constexpr, PRECISION: tl.constexpr, COSINE: tl.constexpr, EPS: tl.constexpr,
):  # fmt: skip
    """One tile of queries of a window and head: writes `out` and the log-sum-exp.

    Online softmax: `top` is the largest logit so far, `total` and `mixed` are the sums of
    exp2(logit - top) and of the same times v, shrunk where a later tile has a larger logit.
    """
    dtype = qkv.dtype.element_ty
    shape, window, lead = (D, H, W), (window_d, window_h, window_w), (lead_d, lead_h, lead_w)
    tiles = tl.cdiv(window_d * window_h * window_w, TILE_Q)
    tile, head, stride = tl.program_id(0) % tiles, tl.program_id(1), 3 * num_heads * HEAD
    b, start, size, real = _window(tl.program_id(0) // tiles, shape, window, lead)
    sample = b.to(tl.int64) * D * H * W
    qkv += sample * stride
    out += sample * (num_heads * HEAD)
    lse += sample * num_heads
    if tile * TILE_Q < real[0] * real[1] * real[2]:
        n = tile * TILE_Q + tl.arange(0, TILE_Q)
        row, inside, _ = _tokens(n, start, real, shape, window)
        q = _project(qkv, pad, head * HEAD, row, inside, stride, HEAD)
        q = (q / _norm(q, COSINE, EPS) * tl.load(scale + head)).to(dtype)
        table += head * (2 * _center(window) + 1) + _center(window)
        at_q = _position(n, real, window)[:, None]
        top = tl.full([TILE_Q], float('-inf'), tl.float32)
        total = tl.zeros([TILE_Q], tl.float32)
        mixed = tl.zeros([TILE_Q, HEAD], tl.float32)
        for first in range(0, size[0] * size[1] * size[2], TILE_K):
            m = first + tl.arange(0, TILE_K)
            key, key_inside, exists = _tokens(m, start, size, shape, window)
            k = _project(qkv, pad, (num_heads + head) * HEAD, key, key_inside, stride, HEAD)
            v = _project(qkv, pad, (2 * num_heads + head) * HEAD, key, key_inside, stride, HEAD)
            k, v = (k / _norm(k, COSINE, EPS)).to(dtype), v.to(dtype)
            pairs = inside[:, None] & exists[None, :]
            bias = tl.load(table + _position(m, size, window)[None, :] - at_q, mask=pairs, other=0)
            logits = LOG2E * (_dot(q, tl.trans(k), PRODUCT, PRECISION) + bias)
            logits = tl.where(exists[None, :], logits, float('-inf'))
            higher = tl.maximum(top, tl.max(logits, 1))
            probs = tl.exp2(logits - higher[:, None])
            shrink = tl.exp2(top - higher)
            total = total * shrink + tl.sum(probs, 1)
            product = _dot(probs.to(dtype), v, PRODUCT, PRECISION)
            mixed = mixed * shrink[:, None] + product
            top = higher
        _store(out + head * HEAD, mixed / total[:, None], row, inside, num_heads * HEAD, HEAD)
        tl.store(lse + row * num_heads + head, top + tl.log2(total), mask=inside)


# Gradients, for one window and head. q' = q / |q| and k' = k / |k| (q and k for dot products), and
# d of each query is the product of its output and the gradient of that:
#
#   P = exp(s q' k'^T + B - lse)    dv = P^T dO       dL = P * (dO v^T - d)
#   ds = sum(q' * dL k')            dq' = s dL k'     dk' = dL^T (s q')        dB = sum of dL
#
# `query_kernel` sums over keys, `key_kernel` over queries, `table_kernel` over windows. Each
# computes the tiles of P and dL that it needs from the maps.


@triton.jit(do_not_specialize=GEOMETRY)
def query_kernel(
    qkv, pad, scale, table, out, lse, grad, delta, qkv_grad, scale_grad,
    D, H, W, window_d, window_h, window_w, lead_d, lead_h, lead_w, num_heads,
    HEAD: tl.constexpr, TILE_Q: tl.constexpr, TILE_K: tl.constexpr,
    PRODUCT: tl.constexpr, PRECISION: tl.constexpr, COSINE: tl.constexpr, EPS: tl.constexpr,
):  # fmt: skip
    """One tile of queries of a window and head: writes d, dq, and its part of ds."""
    dtype = qkv.dtype.element_ty
    shape, window, lead = (D, H, W), (window_d, window_h, window_w), (lead_d, lead_h, lead_w)
    tiles = tl.cdiv(window_d * window_h * window_w, TILE_Q)
    tile, head, stride = tl.program_id(0) % tiles, tl.program_id(1), 3 * num_heads * HEAD
    b, start, size, real = _window(tl.program_id(0) // tiles, shape, window, lead)
    sample = b.to(tl.int64) * D * H * W
    qkv += sample * stride
    out += sample * (num_heads * HEAD)
    lse += sample * num_heads
    grad += sample * (num_heads * HEAD)
    delta += sample * num_heads
    qkv_grad += sample * stride
    if tile * TILE_Q < real[0] * real[1] * real[2]:
        n = tile * TILE_Q + tl.arange(0, TILE_Q)
        row, inside, _ = _tokens(n, start, real, shape, window)
        q = _project(qkv, pad, head * HEAD, row, inside, stride, HEAD)
        norm, factor = _norm(q, COSINE, EPS), tl.load(scale + head)
        q = q / norm
        scaled = (q * factor).to(dtype)
        out_grad = _read(grad + head * HEAD, row, inside, num_heads * HEAD, HEAD)
        mixed = _read(out + head * HEAD, row, inside, num_heads * HEAD, HEAD)
        d = tl.sum(out_grad.to(tl.float32) * mixed.to(tl.float32), 1)
        tl.store(delta + row * num_heads + head, d, mask=inside)
        shift = tl.load(lse + row * num_heads + head, mask=inside, other=0.0)
        table += head * (2 * _center(window) + 1) + _center(window)
        at_q = _position(n, real, window)[:, None]
        q_grad = tl.zeros([TILE_Q, HEAD], tl.float32)
        for first in range(0, size[0] * size[1] * size[2], TILE_K):
            m = first + tl.arange(0, TILE_K)
            key, key_inside, exists = _tokens(m, start, size, shape, window)
            k = _project(qkv, pad, (num_heads + head) * HEAD, key, key_inside, stride, HEAD)
            v = _project(qkv, pad, (2 * num_heads + head) * HEAD, key, key_inside, stride, HEAD)
            k, v = (k / _norm(k, COSINE, EPS)).to(dtype), v.to(dtype)
            pairs = inside[:, None] & exists[None, :]
            bias = tl.load(table + _position(m, size, window)[None, :] - at_q, mask=pairs, other=0)
            logits = LOG2E * (_dot(scaled, tl.trans(k), PRODUCT, PRECISION) + bias)
            probs = tl.where(pairs, tl.exp2(logits - shift[:, None]), 0.0)
            probs_grad = _dot(out_grad, tl.trans(v), PRODUCT, PRECISION)
            logits_grad = (probs * (probs_grad - d[:, None])).to(dtype)
            q_grad += _dot(logits_grad, k, PRODUCT, PRECISION)
        part = tl.sum(tl.sum(q_grad * q, 1), 0)
        q_grad = _through_norm(q_grad * factor, q, norm, COSINE, EPS)
        _store(qkv_grad + head * HEAD, q_grad, row, inside, stride, HEAD)
        tl.store(scale_grad + tl.program_id(0) * num_heads + head, part)


@triton.jit(do_not_specialize=GEOMETRY)
def key_kernel(
    qkv, pad, scale, table, lse, grad, delta, qkv_grad, pad_grad,
    D, H, W, window_d, window_h, window_w, lead_d, lead_h, lead_w, num_heads,
    HEAD: tl.constexpr, TILE_Q: tl.constexpr, TILE_K: tl.constexpr,
    PRODUCT: tl.constexpr, PRECISION: tl.constexpr, COSINE: tl.constexpr, EPS: tl.constexpr,
):  # fmt: skip
    """One tile of keys of a window and head: writes dk and dv; adds those of padded keys up."""
    dtype = qkv.dtype.element_ty
    shape, window, lead = (D, H, W), (window_d, window_h, window_w), (lead_d, lead_h, lead_w)
    tiles = tl.cdiv(window_d * window_h * window_w, TILE_K)
    tile, head, stride = tl.program_id(0) % tiles, tl.program_id(1), 3 * num_heads * HEAD
    b, start, size, real = _window(tl.program_id(0) // tiles, shape, window, lead)
    sample = b.to(tl.int64) * D * H * W
    qkv += sample * stride
    lse += sample * num_heads
    grad += sample * (num_heads * HEAD)
    delta += sample * num_heads
    qkv_grad += sample * stride
    if tile * TILE_K < size[0] * size[1] * size[2]:
        m = tile * TILE_K + tl.arange(0, TILE_K)
        key, key_inside, exists = _tokens(m, start, size, shape, window)
        k_part, v_part = (num_heads + head) * HEAD, (2 * num_heads + head) * HEAD
        k = _project(qkv, pad, k_part, key, key_inside, stride, HEAD)
        v = _project(qkv, pad, v_part, key, key_inside, stride, HEAD).to(dtype)
        norm, factor = _norm(k, COSINE, EPS), tl.load(scale + head)
        k = k / norm
        low = k.to(dtype)
        table += head * (2 * _center(window) + 1) + _center(window)
        at_k = _position(m, size, window)[:, None]
        k_grad = tl.zeros([TILE_K, HEAD], tl.float32)
        v_grad = tl.zeros([TILE_K, HEAD], tl.float32)
        for first in range(0, real[0] * real[1] * real[2], TILE_Q):
            n = first + tl.arange(0, TILE_Q)
            row, inside, _ = _tokens(n, start, real, shape, window)
            q = _project(qkv, pad, head * HEAD, row, inside, stride, HEAD)
            q = (q / _norm(q, COSINE, EPS) * factor).to(dtype)
            out_grad = _read(grad + head * HEAD, row, inside, num_heads * HEAD, HEAD)
            shift = tl.load(lse + row * num_heads + head, mask=inside, other=0.0)
            d = tl.load(delta + row * num_heads + head, mask=inside, other=0.0)
            pairs = exists[:, None] & inside[None, :]
            bias = tl.load(table + at_k - _position(n, real, window)[None, :], mask=pairs, other=0)
            logits = LOG2E * (_dot(low, tl.trans(q), PRODUCT, PRECISION) + bias)
            probs = tl.where(pairs, tl.exp2(logits - shift[None, :]), 0.0)
            v_grad += _dot(probs.to(dtype), out_grad, PRODUCT, PRECISION)
            probs_grad = _dot(v, tl.trans(out_grad), PRODUCT, PRECISION)
            logits_grad = (probs * (probs_grad - d[None, :])).to(dtype)
            k_grad += _dot(logits_grad, q, PRODUCT, PRECISION)
        k_grad = _through_norm(k_grad, k, norm, COSINE, EPS)
        _store(qkv_grad + k_part, k_grad, key, key_inside, stride, HEAD)
        _store(qkv_grad + v_part, v_grad, key, key_inside, stride, HEAD)
        padded = exists & (key_inside == 0)
        if tl.max(padded.to(tl.int32), 0) > 0:
            k_sum = tl.sum(tl.where(padded[:, None], k_grad, 0.0), 0)
            v_sum = tl.sum(tl.where(padded[:, None], v_grad, 0.0), 0)
            tl.atomic_add(pad_grad + k_part + tl.arange(0, HEAD), k_sum)
            tl.atomic_add(pad_grad + v_part + tl.arange(0, HEAD), v_sum)


@triton.jit(do_not_specialize=[*GEOMETRY, 'num_windows', 'windows_each'])
def table_kernel(
    qkv, pad, scale, table, lse, grad, delta, table_grad, num_windows, windows_each,
    D, H, W, window_d, window_h, window_w, lead_d, lead_h, lead_w, num_heads,
    HEAD: tl.constexpr, TILE_Q: tl.constexpr, TILE_K: tl.constexpr,
    PRODUCT: tl.constexpr, PRECISION: tl.constexpr, COSINE: tl.constexpr, EPS: tl.constexpr,
):  # fmt: skip
    """One tile of queries and keys: sums dL over `windows_each` windows, then adds it to dB.

    Here cut windows keep the numbers of whole ones, so that a pair of tokens has the same offset
    in all windows; tokens that were cut off are left out.
    """
    dtype = qkv.dtype.element_ty
    shape, window, lead = (D, H, W), (window_d, window_h, window_w), (lead_d, lead_h, lead_w)
    tiles = tl.cdiv(window_d * window_h * window_w, TILE_K)
    head, stride = tl.program_id(2), 3 * num_heads * HEAD
    n = tl.program_id(0) // tiles * TILE_Q + tl.arange(0, TILE_Q)
    m = tl.program_id(0) % tiles * TILE_K + tl.arange(0, TILE_K)
    factor = tl.load(scale + head)
    offsets = _position(m, window, window)[None, :] - _position(n, window, window)[:, None]
    offsets += head * (2 * _center(window) + 1) + _center(window)
    tokens = window_d * window_h * window_w
    found = (n < tokens)[:, None] & (m < tokens)[None, :]
    bias = tl.load(table + offsets, mask=found, other=0.0)
    total = tl.zeros([TILE_Q, TILE_K], tl.float32)
    first = tl.program_id(1) * windows_each
    for index in range(first, tl.minimum(first + windows_each, num_windows)):
        b, i, j, k = _place(index, shape, window, lead)
        sample = b.to(tl.int64) * D * H * W
        start = (i * window_d - lead_d, j * window_h - lead_h, k * window_w - lead_w)
        row, inside, _ = _tokens(n, start, window, shape, window)
        key, key_inside, exists = _tokens(m, start, window, shape, window)
        q = _project(qkv + sample * stride, pad, head * HEAD, row, inside, stride, HEAD)
        q = (q / _norm(q, COSINE, EPS) * factor).to(dtype)
        k = _project(
            qkv + sample * stride, pad, (num_heads + head) * HEAD, key, key_inside, stride, HEAD
        )
        v = _project(
            qkv + sample * stride, pad, (2 * num_heads + head) * HEAD, key, key_inside, stride, HEAD
        )
        k, v = (k / _norm(k, COSINE, EPS)).to(dtype), v.to(dtype)
        out_grad = _read(
            grad + sample * (num_heads * HEAD) + head * HEAD, row, inside, num_heads * HEAD, HEAD
        )
        shift = tl.load(lse + (sample + row) * num_heads + head, mask=inside, other=0.0)
        d = tl.load(delta + (sample + row) * num_heads + head, mask=inside, other=0.0)
        logits = LOG2E * (_dot(q, tl.trans(k), PRODUCT, PRECISION) + bias)
        pairs = inside[:, None] & exists[None, :]
        probs = tl.where(pairs, tl.exp2(logits - shift[:, None]), 0.0)
        probs_grad = _dot(out_grad, tl.trans(v), PRODUCT, PRECISION)
        total += probs * (probs_grad - d[:, None])
    tl.atomic_add(table_grad + offsets, total, mask=found)
