"""The formats of checkpoints of Swin Transformer V1, for images and video.

Our names differ from the official ones in two places: the norms of a block are `pre_norm1` and
`pre_norm2`, because V2's `norm1` and `norm2` are elsewhere in the block, and the table of biases is
a module with a `weight`.
"""

from __future__ import annotations

from .format_rules import (
    HUGGING_FACE_RULES,
    IMAGE_FEATURES,
    NATIVE,
    OPENMMLAB_RULES,
    TORCHVISION_RULES,
    Format,
    Rule,
    Rules,
    State,
    down,
    join_qkv,
    numbered,
    reorder_neighbors,
)

TABLE = 'attn.relative_position_bias_table'
NAMES: Rules = (
    (r'(blocks\.\d+)\.norm([12])\.', r'\1.pre_norm\2.'),
    (r'attn\.relative_position_bias_table$', f'{TABLE}.weight'),
)
OUTPUT_NORMS: Rule = (  # of SwinBackbone, numbered from 1
    r'^hidden_states_norms\.stage(\d+)\.',
    lambda match: f'norm{int(match[1]) - 1}.',
)


def _join_qkv(state: State) -> None:
    """In V1, keys have a bias, too."""
    join_qkv(state)
    join_qkv(state, 'bias')


def _reorder_merging(state: State) -> None:
    """In V1, the norm of patch merging comes first, so it has the order of the columns."""
    for name in ('reduction.weight', 'norm.weight', 'norm.bias'):
        reorder_neighbors(state, f'downsample.{name}')


OWN = Format(NATIVE, f'layers.0.blocks.0.{TABLE}.weight')
# Video Swin and mmaction2 use the official names.
OFFICIAL_V1 = Format('official V1', f'layers.0.blocks.0.{TABLE}', NAMES)
TIMM_V1 = Format('timm V1', OFFICIAL_V1.signature, (down(r'^layers\.(\d+)\.downsample\.'), *NAMES))
HUGGING_FACE_V1 = Format(
    'Hugging Face V1',
    f'encoder.layers.0.blocks.0.{TABLE}'.replace('attn', 'attention.self'),
    (OUTPUT_NORMS, *HUGGING_FACE_RULES, *NAMES),
    _join_qkv,
)
# What models of transformers 5 hold; its files have the names above.
TRANSFORMERS_V1 = Format(
    'transformers V1',
    'encoder.layers.0.blocks.0.attention.relative_position_bias.relative_position_bias_table',
    (
        (r'attention\.q_proj\.', 'attn.query.'),
        (r'attention\.k_proj\.', 'attn.key.'),
        (r'attention\.v_proj\.', 'attn.value.'),
        (r'attention\.o_proj\.', 'attn.proj.'),
        (r'attention\.relative_position_bias\.', 'attn.'),
        *HUGGING_FACE_V1.rules,
    ),
    _join_qkv,
)
TORCHVISION_V1 = Format(
    'torchvision V1', f'features.1.0.{TABLE}', (*IMAGE_FEATURES, *TORCHVISION_RULES, *NAMES)
)
TORCHVISION_VIDEO_V1 = Format(
    'torchvision video V1',
    f'features.0.0.{TABLE}',
    (numbered(r'^features\.(\d+)\.', first=0), *TORCHVISION_RULES, *NAMES),
)
OPENMMLAB_V1 = Format(  # mmdet, mmseg and mmpretrain
    'OpenMMLab V1',
    f'stages.0.blocks.0.{TABLE}'.replace('attn', 'attn.w_msa'),
    (*OPENMMLAB_RULES, *NAMES),
    _reorder_merging,
)
# TIMM_V1 has the keys of OFFICIAL_V1, see `formats.MERGES_FIRST`.
FORMATS_V1 = (
    OWN,
    OFFICIAL_V1,
    HUGGING_FACE_V1,
    TRANSFORMERS_V1,
    TORCHVISION_V1,
    TORCHVISION_VIDEO_V1,
    OPENMMLAB_V1,
)
