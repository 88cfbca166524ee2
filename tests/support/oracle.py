"""Swin Transformers by plain loops over tokens, written from the papers' equations.

Parts of V1, V2 and the ablations are told apart by the names of their parameters. It imports
nothing from the package, takes parameters by their official names, and works for maps
with any number of axes. It is slow, meant for some dozens of tokens, and differentiable.
"""

from __future__ import annotations

import itertools
import math

import torch


def position_bias(params: dict, offset: tuple, pretrained_window: tuple) -> torch.Tensor:
    """Bias (nH,) of one offset (query minus key), eq. 3 and 4 with the official scaling.

    Or V1's: the row of a table of all offsets, from the smallest to the largest, axis by axis.
    """
    if 'relative_position_bias_table.weight' in params:
        row = 0
        for delta, window in zip(offset, pretrained_window):
            row = row * (2 * window - 1) + delta + window - 1
        return params['relative_position_bias_table.weight'][row]
    linear = 'linear_cpb_mlp.0.weight' in params
    mlp = below(params, 'linear_cpb_mlp.' if linear else 'cpb_mlp.')
    coords = []
    for delta, window in zip(offset, pretrained_window):
        delta = delta / max(window - 1, 1)
        log = math.copysign(math.log2(abs(8 * delta) + 1) / math.log2(8), delta)
        coords.append(delta if linear else log)
    weight = mlp['0.weight']
    hidden = weight @ weight.new_tensor(coords) + mlp['0.bias']
    out = mlp['2.weight'] @ (hidden * (hidden > 0))
    return 16 / (1 + torch.exp(-out))


def unit(vector: torch.Tensor, eps: float) -> torch.Tensor:
    length = vector.square().sum(-1, keepdim=True).sqrt()
    return vector / (length + eps) if length.min() > 0 else torch.zeros_like(vector)


def window_attention(
    x: torch.Tensor,
    params: dict,
    num_heads: int,
    window: tuple,
    pretrained_window: tuple,
    shifted: bool,
    cosine_eps: float = 0.0,
) -> torch.Tensor:
    """(S..., C) -> (S..., C): scaled cosine attention, one pair of tokens at a time (eq. 2).

    Or that of V1, without `logit_scale`: dot products divided by the root of a head's channels.

    An axis that fits into its window is one window, unshifted. Other axes are padded with zero
    tokens to whole windows; two tokens attend to each other in the same cell of the shifted grid.
    """
    sizes, channels = x.shape[:-1], x.shape[-1]
    window = tuple(min(w, s) for w, s in zip(window, sizes))
    shift = tuple(w // 2 if shifted and w < s else 0 for w, s in zip(window, sizes))
    padded = tuple(math.ceil(s / w) * w for w, s in zip(window, sizes))
    heads = (num_heads, channels // num_heads)
    cosine = 'logit_scale' in params
    if cosine:
        scale = torch.exp(params['logit_scale'].flatten().clamp(max=math.log(100)))
        q_bias, k_bias, v_bias = params['q_bias'], 0, params['v_bias']
    else:
        scale = 1 / math.sqrt(heads[1])
        q_bias, k_bias, v_bias = params['qkv.bias'].split(channels)
    q_weight, k_weight, v_weight = params['qkv.weight'].split(channels)
    tokens = {}
    for position in itertools.product(*map(range, padded)):
        inside = all(p < s for p, s in zip(position, sizes))
        token = x[position] if inside else x.new_zeros(channels)
        q = (q_weight @ token + q_bias).view(heads)
        k = (k_weight @ token + k_bias).view(heads)
        v = (v_weight @ token + v_bias).view(heads)
        if cosine:
            q, k = (torch.stack([unit(head, cosine_eps) for head in t]) for t in (q, k))
        cell = tuple((p - s) // w for p, s, w in zip(position, shift, window))
        tokens[position] = q, k, v, cell, inside
    biases = {}
    out = []
    for query, (q, _, _, cell, inside) in tokens.items():
        if not inside:
            continue
        logits, values = [], []
        for key, (_, k, v, key_cell, _) in tokens.items():
            if key_cell != cell:
                continue
            offset = tuple(a - b for a, b in zip(query, key))
            if offset not in biases:
                biases[offset] = position_bias(params, offset, pretrained_window)
            logits.append((q * k).sum(-1) * scale + biases[offset])
            values.append(v)
        weights = torch.stack(logits).exp()
        weights = weights / weights.sum(0)
        mixed = (weights[..., None] * torch.stack(values)).sum(0).flatten()
        out.append(params['proj.weight'] @ mixed + params['proj.bias'])
    return torch.stack(out).view(*sizes, channels)


def layer_norm(x: torch.Tensor, params: dict, eps: float = 1e-5) -> torch.Tensor:
    centered = x - x.mean(-1, keepdim=True)
    variance = centered.square().mean(-1, keepdim=True)
    return centered / (variance + eps).sqrt() * params['weight'] + params['bias']


def mlp(x: torch.Tensor, params: dict) -> torch.Tensor:
    x = x @ params['fc1.weight'].T + params['fc1.bias']
    x = x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))
    return x @ params['fc2.weight'].T + params['fc2.bias']


def block(x: torch.Tensor, params: dict, norm_eps: float = 1e-5, **attention) -> torch.Tensor:
    """Each branch with the norms that have parameters, and the extra norm of H and G if there is.

    `norm1` and `norm2` end their branch (res-post-norm, section 3.2), `pre_norm` starts it (V1,
    and the sandwich with both), `post_norm` follows the addition.
    """

    def branch(x: torch.Tensor, number: int, function) -> torch.Tensor:
        pre, end, post = (
            below(params, f'{name}{number}.') for name in ('pre_norm', 'norm', 'post_norm')
        )
        y = function(layer_norm(x, pre, norm_eps) if pre else x)
        x = x + (layer_norm(y, end, norm_eps) if end else y)
        return layer_norm(x, post, norm_eps) if post else x

    x = branch(x, 1, lambda y: window_attention(y, below(params, 'attn.'), **attention))
    x = branch(x, 2, lambda y: mlp(y, below(params, 'mlp.')))
    extra = below(params, 'norm3.')
    return layer_norm(x, extra, norm_eps) if extra else x


def patch_embed(image: torch.Tensor, params: dict, patch: tuple, eps: float) -> torch.Tensor:
    """(C', S'...) -> (S..., C), zeros beyond the image."""
    weight = params['proj.weight']
    counts = [math.ceil(s / p) for s, p in zip(image.shape[1:], patch)]
    tokens = []
    for cell in itertools.product(*map(range, counts)):
        pixels = image.new_zeros(image.shape[0], *patch)
        part = image[(slice(None), *(slice(c * p, (c + 1) * p) for c, p in zip(cell, patch)))]
        pixels[tuple(slice(n) for n in part.shape)] = part
        tokens.append(weight.flatten(1) @ pixels.flatten() + params['proj.bias'])
    return layer_norm(torch.stack(tokens).view(*counts, -1), below(params, 'norm.'), eps)


def patch_merging(x: torch.Tensor, params: dict, eps: float) -> torch.Tensor:
    """Join 2 x 2 tokens of the last two axes, zeros beyond the map, rows counted first."""
    *lead, height, width, channels = x.shape
    out = x.new_zeros(*lead, math.ceil(height / 2), math.ceil(width / 2), 4 * channels)
    for i, j in itertools.product(range(height), range(width)):
        slot = (i % 2 + 2 * (j % 2)) * channels
        out[..., i // 2, j // 2, slot : slot + channels] = x[..., i, j, :]
    norm = below(params, 'norm.')
    if len(norm['weight']) == 4 * channels:  # V1
        return layer_norm(out, norm, eps) @ params['reduction.weight'].T
    return layer_norm(out @ params['reduction.weight'].T, norm, eps)


def backbone(
    image: torch.Tensor,
    params: dict,
    depths: tuple,
    num_heads: tuple,
    patch: tuple,
    windows: list,
    pretrained_windows: tuple,
    norm_eps: float = 1e-5,
    cosine_eps: float = 0.0,
) -> list[torch.Tensor]:
    """(C', S'...) -> maps (C_i, S_i...) of all stages, through their output norms.

    `windows` lists, per stage, the window of each block.
    """
    x = patch_embed(image, below(params, 'patch_embed.'), patch, norm_eps)
    outs = []
    for stage, depth in enumerate(depths):
        for i in range(depth):
            x = block(
                x,
                below(params, f'layers.{stage}.blocks.{i}.'),
                num_heads=num_heads[stage],
                window=windows[stage][i],
                pretrained_window=pretrained_windows[stage],
                shifted=i % 2 == 1,
                norm_eps=norm_eps,
                cosine_eps=cosine_eps,
            )
        outs.append(layer_norm(x, below(params, f'norm{stage}.'), norm_eps).movedim(-1, 0))
        if stage + 1 < len(depths):
            x = patch_merging(x, below(params, f'layers.{stage}.downsample.'), norm_eps)
    return outs


def below(params: dict, prefix: str) -> dict:
    return {k[len(prefix) :]: v for k, v in params.items() if k.startswith(prefix)}
