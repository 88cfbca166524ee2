"""What the formats of checkpoints are made of: regular expressions, and changes of tensors."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

NATIVE = 'swinv2_dense'  # the format of this package
State = dict[str, Tensor]
Rule = tuple[str, str | Callable[[re.Match], str]]
Rules = tuple[Rule, ...]


class Format(NamedTuple):
    """A layout of parameters.

    `signature` is a key of the backbone that no other format has; `rules` are pairs of a regular
    expression and its replacement; `finish` changes the renamed tensors.
    """

    name: str
    signature: str
    rules: Rules = ()
    finish: Callable[[State], None] = lambda state: None


def join_qkv(state: State, name: str = 'weight') -> None:
    """HF stores the three row blocks of qkv.weight (or of another parameter) separately."""
    parts = ('query', 'key', 'value')
    for key in [k for k in state if k.endswith(f'attn.query.{name}')]:
        names = [key.replace('query', part) for part in parts]
        if all(name in state for name in names):
            rows = [state.pop(name) for name in names]
            state[key.replace('query', 'qkv')] = torch.cat(rows)


def reorder_neighbors(state: State, suffix: str) -> None:
    """The OpenMMLab libraries merge patches with nn.Unfold: (D, 4), and neighbors row by row.

    Here the last axis becomes (4, D), with the neighbors column by column.
    """
    for key in [k for k in state if k.endswith(suffix)]:
        neighbors = state[key].unflatten(-1, (-1, 4)).mT[..., [0, 2, 1, 3], :]
        state[key] = neighbors.flatten(-2)


def down(pattern: str) -> Rule:
    """Patch merging at the start of a stage is ours at the end of the previous stage."""
    return pattern, lambda match: f'layers.{int(match[1]) - 1}.downsample.'


def numbered(pattern: str, first: int) -> Rule:
    """torchvision numbers blocks and patch merging in one list; the first blocks are `first`."""

    def rename(match: re.Match) -> str:
        stage, merges = divmod(int(match[1]) - first, 2)
        return f'layers.{stage}.{"downsample" if merges else "blocks"}.'

    return pattern, rename


# What formats of V1 and V2 have in common.
HUGGING_FACE_RULES: Rules = (
    (r'^embeddings\.patch_embeddings\.projection\.', 'patch_embed.proj.'),
    (r'^embeddings\.norm\.', 'patch_embed.norm.'),
    (r'^encoder\.', ''),
    (r'attention\.self\.', 'attn.'),
    (r'attention\.output\.dense\.', 'attn.proj.'),
    (r'layernorm_before\.', 'norm1.'),
    (r'layernorm_after\.', 'norm2.'),
    (r'intermediate\.dense\.', 'mlp.fc1.'),
    (r'output\.dense\.', 'mlp.fc2.'),
    (r'^layernorm\.', 'norm.'),
    (r'^embeddings\.position_embeddings$', 'absolute_pos_embed'),
)
TORCHVISION_RULES: Rules = (
    (r'\.mlp\.0\.', '.mlp.fc1.'),
    (r'\.mlp\.3\.', '.mlp.fc2.'),
)
IMAGE_FEATURES: Rules = (
    (r'^features\.0\.0\.', 'patch_embed.proj.'),
    (r'^features\.0\.2\.', 'patch_embed.norm.'),
    numbered(r'^features\.(\d+)\.', first=1),
)
OPENMMLAB_RULES: Rules = (
    (r'^patch_embed\.projection\.', 'patch_embed.proj.'),
    (r'^stages\.', 'layers.'),
    (r'attn\.w_msa\.', 'attn.'),
    (r'ffn\.layers\.0\.0\.', 'mlp.fc1.'),
    (r'ffn\.layers\.1\.', 'mlp.fc2.'),
)
