"""The parts of a Swin Transformer that a checkpoint holds, and whether a model has the same."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ..arguments import V1, V2, Parts, parts_name
from ..errors import CheckpointError

# Parameters, by the ends of their names, that tell the parts apart; the first one found counts.
POSITION_BIASES = {
    'attn.relative_position_bias_table.weight': 'table',
    'attn.linear_cpb_mlp.0.weight': 'linear',
    'attn.cpb_mlp.0.weight': 'log',
}
SIMILARITIES = {'attn.logit_scale': 'cosine', 'attn.qkv.bias': 'dot'}
BLOCKS = {
    '.post_norm1.weight': 'post-norm',
    '.pre_norm1.weight': 'pre-norm',
    '.norm1.weight': 'res-post-norm',
}


def parts_of(state: Mapping[str, Tensor]) -> Parts:
    """The parts of a backbone, from our names of its parameters. What does not show is V2's."""
    block = _first(BLOCKS, state, V2.block)
    if block == 'pre-norm' and _first({'.norm1.weight': 'found'}, state, ''):
        block = 'sandwich'
    return Parts(
        _first(POSITION_BIASES, state, V2.position_bias),
        _first(SIMILARITIES, state, V2.similarity),
        block,
        _patch_merging(state, V1 if block == V1.block else V2),
    )


def _first(values: Mapping[str, str], state: Mapping[str, Tensor], default: str) -> str:
    names = [key for key in state if key.startswith('layers.')]
    return next((v for end, v in values.items() if any(n.endswith(end) for n in names)), default)


def _patch_merging(state: Mapping[str, Tensor], default: Parts) -> str:
    """By the number of channels of the norm, before or after the reduction."""
    norm = state.get('layers.0.downsample.norm.weight')
    reduction = state.get('layers.0.downsample.reduction.weight')
    if norm is None or reduction is None:
        return default.patch_merging
    return 'pre-norm' if len(norm) == reduction.shape[1] else 'post-norm'


def check_parts(parts: Parts, own: Parts, source: str) -> None:
    """Raise unless the parts of the checkpoint `source` are those of the model, `own`.

    Raises:
        CheckpointError: Names both, and what to set in the config.
    """
    if parts == own:
        return
    if parts == V1 or own == V1:
        version = 'SwinTransformerV1' if parts == V1 else 'SwinTransformerV2'
        remedy = f"set type='{version}' of the backbone (for video Video{version})"
    else:
        changes = [f'{k}={v!r}' for k, v in parts._asdict().items() if v != getattr(own, k)]
        remedy = f'set {", ".join(changes)} of the backbone'
    raise CheckpointError(
        f'checkpoint {source} is {parts_name(parts)}, the config builds {parts_name(own)}: '
        f'{remedy}, or choose another checkpoint'
    )
