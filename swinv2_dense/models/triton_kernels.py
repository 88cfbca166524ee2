"""Triton kernels of window attention, for projected maps (B, D, H, W, 3C); images have D = 1.

A row of the map holds q, k and v of all heads of a token. Nothing is partitioned, shifted, masked
or copied: each program computes which rows its window consists of, see triton_windows.py.

Queries are tokens of the map, keys those of the padded map: q, k and v of a padded token are
`pad`, the bias of the projection. Scale and table are those of logits in base 2, so that `exp2` is
their exponential. What must not count has a logit of -inf or a log-sum-exp of inf.

The inner loops are limited by the number of instructions (docs/gpu_rooflines.md). What depends on
the row of a tile alone is computed outside of them, in the loop there are a few operations per key
and a handful per pair.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .triton_windows import GEOMETRY, center, locate, renumber, table_shape, within

LN2 = tl.constexpr(0.6931471805599453)


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
def _project(qkv, pad, part, row, inside, exists, stride, HEAD: tl.constexpr):
    """k or v of a head, (rows, HEAD), that of padded tokens included; zero of no token."""
    column = part + tl.arange(0, HEAD)[None, :]
    place = tl.where(inside[:, None], qkv + row[:, None] * stride + column, pad + column)
    return tl.load(place, mask=exists[:, None], other=0.0)


@triton.jit
def _dot(a, b, PRODUCT: tl.constexpr, PRECISION: tl.constexpr):
    """a b in fp32. PRODUCT is the dtype of a and b, or fp32 in the interpreter, which cannot
    multiply bf16."""
    return tl.dot(a.to(PRODUCT), b.to(PRODUCT), input_precision=PRECISION)


@triton.jit
def _unit(x, COSINE: tl.constexpr, EPS: tl.constexpr):
    """Normalized rows, in fp32, and what they were multiplied by: see `safe_norm` of precision.py;
    1 for dot products."""
    x = x.to(tl.float32)
    inverse = tl.full([x.shape[0]], 1.0, tl.float32)
    if COSINE:
        norm = tl.sqrt(tl.sum(x * x, 1))
        if EPS > 0:
            norm += EPS
        else:
            norm = tl.where(norm > 1e-12, norm, 1.0)
        inverse = 1.0 / norm
    return x * inverse[:, None], inverse[:, None]


@triton.jit
def _through_norm(grad, y, inverse, COSINE: tl.constexpr, EPS: tl.constexpr):
    """Gradient of x from that of y = x * inverse: see `to_inputs` of similarity.py."""
    if COSINE:
        along = tl.sum(grad * y, 1)[:, None]
        if EPS > 0:
            along /= tl.maximum(1.0 - EPS * inverse, 1e-7)
        grad = (grad - y * along) * inverse
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
    origin, _, size, real = locate(tl.program_id(0) // tiles, shape, window, lead)
    num_queries, num_keys = real[0] * real[1] * real[2], size[0] * size[1] * size[2]
    qkv += origin * stride
    out += origin * (num_heads * HEAD)
    lse += origin * num_heads
    k_part, v_part = (num_heads + head) * HEAD, (2 * num_heads + head) * HEAD
    if tile * TILE_Q < num_queries:
        n = tile * TILE_Q + tl.arange(0, TILE_Q)
        inside, row = n < num_queries, renumber(n, real, shape)
        q = _unit(_read(qkv + head * HEAD, row, inside, stride, HEAD), COSINE, EPS)[0]
        q = (q * tl.load(scale + head)).to(dtype)
        wide = table_shape(window)
        at_q = tl.where(inside, renumber(n, real, wide), 0)
        table_q = table + (head * (2 * center(window) + 1) + center(window)) - at_q[:, None]
        top = tl.full([TILE_Q], float('-inf'), tl.float32)
        total = tl.zeros([TILE_Q], tl.float32)
        mixed = tl.zeros([TILE_Q, HEAD], tl.float32)
        for first in range(0, num_keys, TILE_K):
            m = first + tl.arange(0, TILE_K)
            exists, key_inside = m < num_keys, within(m, size, (0, 0, 0), real)
            key = renumber(m, size, shape)
            k = _project(qkv, pad, k_part, key, key_inside, exists, stride, HEAD)
            v = _project(qkv, pad, v_part, key, key_inside, exists, stride, HEAD)
            k = _unit(k, COSINE, EPS)[0].to(dtype)
            at_k = renumber(m, size, wide)[None, :]
            bias = tl.load(table_q + at_k, mask=exists[None, :], other=float('-inf'))
            logits = _dot(q, tl.trans(k), PRODUCT, PRECISION) + bias
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
# d of each query is the product of its output and the gradient of that. s, B and the logits L are
# in base 2; the factor ln 2 of dL is left to the last step of each kernel:
#
#   P = exp2(s q' k'^T + B - lse)   dv = P^T dO       dL = ln 2 P * (dO v^T - d)
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
    origin, _, size, real = locate(tl.program_id(0) // tiles, shape, window, lead)
    num_queries, num_keys = real[0] * real[1] * real[2], size[0] * size[1] * size[2]
    qkv += origin * stride
    out += origin * (num_heads * HEAD)
    lse += origin * num_heads
    grad += origin * (num_heads * HEAD)
    delta += origin * num_heads
    qkv_grad += origin * stride
    k_part, v_part = (num_heads + head) * HEAD, (2 * num_heads + head) * HEAD
    if tile * TILE_Q < num_queries:
        n = tile * TILE_Q + tl.arange(0, TILE_Q)
        inside, row = n < num_queries, renumber(n, real, shape)
        q = _read(qkv + head * HEAD, row, inside, stride, HEAD)
        (q, inverse), factor = _unit(q, COSINE, EPS), tl.load(scale + head)
        scaled = (q * factor).to(dtype)
        out_grad = _read(grad + head * HEAD, row, inside, num_heads * HEAD, HEAD)
        mixed = _read(out + head * HEAD, row, inside, num_heads * HEAD, HEAD)
        d = tl.sum(out_grad.to(tl.float32) * mixed.to(tl.float32), 1)
        tl.store(delta + row * num_heads + head, d, mask=inside)
        shift = tl.load(lse + row * num_heads + head, mask=inside, other=float('inf'))
        wide = table_shape(window)
        at_q = tl.where(inside, renumber(n, real, wide), 0)
        table_q = table + (head * (2 * center(window) + 1) + center(window)) - at_q[:, None]
        q_grad = tl.zeros([TILE_Q, HEAD], tl.float32)
        for first in range(0, num_keys, TILE_K):
            m = first + tl.arange(0, TILE_K)
            exists, key_inside = m < num_keys, within(m, size, (0, 0, 0), real)
            key = renumber(m, size, shape)
            k = _project(qkv, pad, k_part, key, key_inside, exists, stride, HEAD)
            v = _project(qkv, pad, v_part, key, key_inside, exists, stride, HEAD)
            k = _unit(k, COSINE, EPS)[0].to(dtype)
            at_k = renumber(m, size, wide)[None, :]
            bias = tl.load(table_q + at_k, mask=exists[None, :], other=float('-inf'))
            logits = _dot(scaled, tl.trans(k), PRODUCT, PRECISION) + bias
            probs = tl.exp2(logits - shift[:, None])
            probs_grad = _dot(out_grad, tl.trans(v), PRODUCT, PRECISION)
            logits_grad = (probs * (probs_grad - d[:, None])).to(dtype)
            q_grad += _dot(logits_grad, k, PRODUCT, PRECISION)
        q_grad *= LN2
        part = tl.sum(tl.sum(q_grad * q, 1), 0)
        q_grad = _through_norm(q_grad * factor, q, inverse, COSINE, EPS)
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
    origin, _, size, real = locate(tl.program_id(0) // tiles, shape, window, lead)
    num_queries, num_keys = real[0] * real[1] * real[2], size[0] * size[1] * size[2]
    qkv += origin * stride
    lse += origin * num_heads
    grad += origin * (num_heads * HEAD)
    delta += origin * num_heads
    qkv_grad += origin * stride
    k_part, v_part = (num_heads + head) * HEAD, (2 * num_heads + head) * HEAD
    if tile * TILE_K < num_keys:
        m = tile * TILE_K + tl.arange(0, TILE_K)
        exists, key_inside = m < num_keys, within(m, size, (0, 0, 0), real)
        key = renumber(m, size, shape)
        k = _project(qkv, pad, k_part, key, key_inside, exists, stride, HEAD)
        v = _project(qkv, pad, v_part, key, key_inside, exists, stride, HEAD)
        (k, inverse), factor = _unit(k, COSINE, EPS), tl.load(scale + head)
        low = k.to(dtype)
        wide = table_shape(window)
        at_k = tl.where(exists, renumber(m, size, wide), 0)
        table_k = table + (head * (2 * center(window) + 1) + center(window)) + at_k[:, None]
        k_grad = tl.zeros([TILE_K, HEAD], tl.float32)
        v_grad = tl.zeros([TILE_K, HEAD], tl.float32)
        for first in range(0, num_queries, TILE_Q):
            n = first + tl.arange(0, TILE_Q)
            inside, row = n < num_queries, renumber(n, real, shape)
            q = _unit(_read(qkv + head * HEAD, row, inside, stride, HEAD), COSINE, EPS)[0]
            q = (q * factor).to(dtype)
            out_grad = _read(grad + head * HEAD, row, inside, num_heads * HEAD, HEAD)
            shift = tl.load(lse + row * num_heads + head, mask=inside, other=float('inf'))
            d = tl.load(delta + row * num_heads + head, mask=inside, other=0.0)
            at_q = tl.where(inside, renumber(n, real, wide), 0)[None, :]
            bias = tl.load(table_k - at_q, mask=exists[:, None], other=float('-inf'))
            logits = _dot(low, tl.trans(q), PRODUCT, PRECISION) + bias
            probs = tl.exp2(logits - shift[None, :])
            v_grad += _dot(probs.to(dtype), out_grad, PRODUCT, PRECISION)
            probs_grad = _dot(v, tl.trans(out_grad), PRODUCT, PRECISION)
            logits_grad = (probs * (probs_grad - d[None, :])).to(dtype)
            k_grad += _dot(logits_grad, q, PRODUCT, PRECISION)
        k_grad = _through_norm(k_grad * LN2, k, inverse, COSINE, EPS)
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
    tokens = window_d * window_h * window_w
    tiles = tl.cdiv(tokens, TILE_K)
    head, stride = tl.program_id(2), 3 * num_heads * HEAD
    k_part, v_part = (num_heads + head) * HEAD, (2 * num_heads + head) * HEAD
    n = tl.program_id(0) // tiles * TILE_Q + tl.arange(0, TILE_Q)
    m = tl.program_id(0) % tiles * TILE_K + tl.arange(0, TILE_K)
    row, key = renumber(n, window, shape), renumber(m, window, shape)
    factor = tl.load(scale + head)
    wide = table_shape(window)
    offsets = renumber(m, window, wide)[None, :] - renumber(n, window, wide)[:, None]
    offsets += head * (2 * center(window) + 1) + center(window)
    found = (n < tokens)[:, None] & (m < tokens)[None, :]
    bias = tl.load(table + offsets, mask=found, other=0.0)
    total = tl.zeros([TILE_Q, TILE_K], tl.float32)
    begin = tl.program_id(1) * windows_each
    for index in range(begin, tl.minimum(begin + windows_each, num_windows)):
        origin, cut, size, real = locate(index, shape, window, lead)
        origin -= (cut[0] * H + cut[1]) * W + cut[2]
        inside, key_inside = within(n, window, cut, real), within(m, window, cut, real)
        exists = within(m, window, cut, size)
        qkv_part, grad_part = qkv + origin * stride, grad + origin * (num_heads * HEAD)
        q = _unit(_read(qkv_part + head * HEAD, row, inside, stride, HEAD), COSINE, EPS)[0]
        q = (q * factor).to(dtype)
        k = _project(qkv_part, pad, k_part, key, key_inside, exists, stride, HEAD)
        k = _unit(k, COSINE, EPS)[0].to(dtype)
        place = (origin + row) * num_heads + head
        shift = tl.load(lse + place, mask=inside, other=float('inf'))
        d = tl.load(delta + place, mask=inside, other=0.0)
        logits = _dot(q, tl.trans(k), PRODUCT, PRECISION) + bias
        logits = tl.where(exists[None, :], logits, float('-inf'))
        probs = tl.exp2(logits - shift[:, None])
        v = _project(qkv_part, pad, v_part, key, key_inside, exists, stride, HEAD)
        out_grad = _read(grad_part + head * HEAD, row, inside, num_heads * HEAD, HEAD)
        probs_grad = _dot(out_grad, tl.trans(v), PRODUCT, PRECISION)
        total += probs * (probs_grad - d[:, None])
    tl.atomic_add(table_grad + offsets, total * LN2, mask=found)
