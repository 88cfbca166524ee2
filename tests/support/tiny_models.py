"""Small backbones."""

from __future__ import annotations

import oracle
import torch
from torch.testing import assert_close

from swinv2_dense import SwinTransformerV2

TINY = dict(embed_dims=8, depths=(2, 2, 1, 2), num_heads=(1, 2, 2, 4))


def randomized(model: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Randomize norms too: with their initial zeros, every block is the identity."""
    generator = torch.Generator().manual_seed(seed)
    for name, param in model.named_parameters():
        if '.norm' in name or name.startswith('norm') or name.endswith('_bias'):
            param.data.add_(torch.randn(param.shape, generator=generator) * 0.5)
    return model


def tiny(cls=SwinTransformerV2, **kwargs) -> torch.nn.Module:
    torch.manual_seed(1)
    kwargs = dict(arch=TINY, window_size=4, drop_path_rate=0.0) | kwargs
    return randomized(cls(**kwargs))


def assert_equals_oracle(model, arch: dict, size: tuple, patch: tuple, **eps: float) -> None:
    """The maps of all stages, and the gradients of all parameters."""
    image = torch.randn(1, 3, *size, dtype=torch.float64)
    params = dict(model.named_parameters())
    expected = oracle.backbone(
        image[0],
        params,
        arch['depths'],
        arch['num_heads'],
        patch,
        [[block.attn.window_size for block in stage.blocks] for stage in model.layers],
        model.pretrained_window_sizes,
        **eps,
    )
    outs = model(image)
    for out, reference in zip(outs, expected):
        assert_close(out[0], reference, atol=1e-10, rtol=1e-10)
    weights = [torch.randn_like(e) for e in expected]
    grads = torch.autograd.grad(
        sum((o[0] * w).sum() for o, w in zip(outs, weights)), params.values()
    )
    references = torch.autograd.grad(
        sum((e * w).sum() for e, w in zip(expected, weights)), params.values()
    )
    for name, grad, reference in zip(params, grads, references):
        assert_close(grad, reference, atol=1e-9, rtol=1e-9, msg=lambda m, n=name: f'{n}: {m}')
