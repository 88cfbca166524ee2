"""Recognize the format of a checkpoint by its keys, and rename its parameters to ours.

Our names are those of the official checkpoints of V2. Every other format is a `Format`: a key that
identifies it, regular expressions applied to each key in turn, and a function if tensors differ
too. Those of V1 are in formats_v1.py. Legend: D channels of a stage.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ..arguments import ARCHS, V1, V2, Arch, Parts
from ..errors import CheckpointError, truncate
from .format_rules import (
    HUGGING_FACE_RULES,
    IMAGE_FEATURES,
    NATIVE,
    OPENMMLAB_RULES,
    TORCHVISION_RULES,
    Format,
    Rules,
    State,
    down,
    join_qkv,
    reorder_neighbors,
)
from .formats_v1 import FORMATS_V1, TIMM_V1
from .low_rank import merge_adapters
from .reading import unwrap

METADATA_KEY = 'pretrained_window_sizes'  # in the state dicts of this package
TABLE = 'attn.relative_coords_table'
DERIVED = (TABLE, 'attn.relative_position_index', 'attn_mask')
# The linear layer of a classifier: of timm, mmpretrain and ours; official and torchvision's; HF's.
HEAD = 'head.fc.'
HEADS = (HEAD, 'head.', 'classifier.')
# What classifiers and masked image modeling add to the backbone.
NOT_BACKBONE = ('head.', 'classifier.', 'decoder.', 'mask_token', 'embeddings.mask_token')
WRAPPERS = re.compile(r'_orig_mod\.|_fsdp_wrapped_module\.|_checkpoint_wrapped_module\.')


@dataclass
class Weights:
    """Parameters of a backbone under our names, and what else its checkpoint holds.

    `tables` are the stored tables of log-spaced coordinates, `rest` all tensors that are not part
    of a backbone, under their names without the backbone's prefix, `ignored` the names of `rest`
    and of entries without a tensor, `metadata` that of the backbone's state dict. `head` has
    `weight` (classes, D) and `bias` (classes) of the layer that classifies, or nothing,
    `head_keys` their names in the checkpoint.
    """

    format: str
    prefix: str
    container: str
    state: State
    tables: State
    ignored: list[str]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    rest: State = field(default_factory=dict)
    head: State = field(default_factory=dict)
    head_keys: list[str] = field(default_factory=list)

    @property
    def is_native(self) -> bool:
        """Whether keys are named and tensors arranged as in our state dicts."""
        return self.format in (NATIVE, OFFICIAL.name)

    @property
    def num_classes(self) -> int | None:
        """Classes of the head; None without one."""
        return self.head['bias'].numel() if self.head else None

    @property
    def rank(self) -> int:
        """Axes of the maps: 2 for images, 3 for video."""
        proj = self.state.get('patch_embed.proj.weight')
        return 2 if proj is None else proj.dim() - 2

    def __str__(self) -> str:
        place = [f'in {self.container!r}'] if self.container else []
        place += [f'under {self.prefix!r}'] if self.prefix else []
        return f'{self.format}{" (" + ", ".join(place) + ")" if place else ""}'


def _split_qkv_bias(state: State) -> None:
    """torchvision has one bias, and sets the third for keys to zero in every forward pass."""
    for key in [k for k in state if k.endswith('attn.qkv.bias')]:
        bias = state.pop(key)
        state[key.replace('qkv.bias', 'q_bias')], _, v_bias = bias.chunk(3)
        state[key.replace('qkv.bias', 'v_bias')] = v_bias


OFFICIAL = Format('official', 'layers.0.blocks.0.attn.logit_scale')
TIMM = Format('timm', OFFICIAL.signature, (down(r'^layers\.(\d+)\.downsample\.'),))
SIMMIM = Format(
    'SimMIM', 'layers.0.blocks.0.attn.rpe_mlp.0.weight', ((r'attn\.rpe_mlp\.', 'attn.cpb_mlp.'),)
)
HUGGING_FACE = Format(
    'Hugging Face',
    'encoder.layers.0.blocks.0.attention.self.logit_scale',
    (
        (r'attention\.self\.continuous_position_bias_mlp\.', 'attn.cpb_mlp.'),
        (r'attention\.self\.(query|value)\.bias', lambda m: f'attn.{m[1][0]}_bias'),
        *HUGGING_FACE_RULES,
    ),
    join_qkv,
)
TORCHVISION = Format(
    'torchvision',
    'features.1.0.attn.logit_scale',
    (*IMAGE_FEATURES, *TORCHVISION_RULES),
    _split_qkv_bias,
)
MMPRETRAIN = Format(
    'mmpretrain',
    'stages.0.blocks.0.attn.w_msa.logit_scale',
    (down(r'^stages\.(\d+)\.downsample\.'), *OPENMMLAB_RULES),
    lambda state: reorder_neighbors(state, 'downsample.reduction.weight'),
)
# What this package saves where the parts of V1 and V2 are mixed, so that no other format applies.
MIXED = (
    Format(NATIVE, 'layers.0.blocks.0.attn.cpb_mlp.0.weight'),
    Format(NATIVE, 'layers.0.blocks.0.attn.linear_cpb_mlp.0.weight'),
)
FORMATS = (SIMMIM, HUGGING_FACE, TORCHVISION, MMPRETRAIN, OFFICIAL, *FORMATS_V1, *MIXED)
# Formats with the same keys but for patch merging, which is at the start of stages in these.
MERGES_FIRST = {'official': TIMM, 'official V1': TIMM_V1}

# Parts of keys that tell other models from Swin Transformers.
OTHER_ARCHITECTURES = (
    ('meta_mlp', "timm's swinv2_cr, whose position bias and patch merging differ"),
    ('cls_token', 'a plain Vision Transformer'),
    ('class_token', 'a plain Vision Transformer'),
    ('class_embedding', 'a plain Vision Transformer'),
    ('dwconv', 'ConvNeXt or another convolutional network'),
    ('layer1.0.conv1', 'a ResNet'),
    ('relative_position_bias_table', 'another model with tables of position biases'),
)


def convert(checkpoint: object, name: str, prefix: str | None = None) -> Weights:
    """Find the Swin backbone in a checkpoint and rename its parameters to ours.

    Low-rank adapters are added to the weights that they adapt.

    Args:
        checkpoint: What `read_checkpoint_file` returned.
        name: Name of the checkpoint, for messages.
        prefix: Prefix of the backbone's keys; found automatically if there is only one backbone.

    Raises:
        CheckpointError: It has no Swin backbone, or several; says what it seems to have.
    """
    state, container = unwrap(checkpoint)
    metadata = getattr(state, '_metadata', None) or {}
    metadata = {_clean(f'{key}.').rstrip('.'): value for key, value in metadata.items()}
    original = {_clean(key): key for key in state}
    form, prefix = _format_and_prefix(list(original), name, prefix)
    head = _head_keys(state, original, prefix)
    renamed: State = {}
    ignored = []
    for key, old in original.items():
        if old in head.values():
            continue
        if key.startswith(prefix) and isinstance(state[old], Tensor):
            renamed[_rename(key[len(prefix) :], form.rules)] = state[old]
        else:
            ignored.append(old)
    form.finish(renamed)
    merge_adapters(renamed)
    tables = {k: v for k, v in renamed.items() if k.endswith(TABLE)}
    dropped = [k for k in renamed if k.endswith(DERIVED) or k.startswith(NOT_BACKBONE)]
    layer = {part: state[old] for part, old in head.items()}
    rest = {k: renamed[k] for k in dropped}
    rest |= {k: state[k] for k in ignored if isinstance(state[k], Tensor)}
    state = {k: v for k, v in renamed.items() if k not in rest}
    metadata = metadata.get(prefix.rstrip('.'), {})
    ours = form is OFFICIAL and METADATA_KEY in metadata
    form_name = NATIVE if ours else form.name
    ignored = dropped + ignored
    keys = list(head.values())
    return Weights(
        form_name, prefix, container, state, tables, ignored, metadata, rest, layer, keys
    )


def _head_keys(
    state: Mapping[str, Any], original: Mapping[str, str], prefix: str
) -> dict[str, str]:
    """The checkpoint's names of `weight` and `bias` of a classifier, in the backbone or beside it.

    Args:
        state: The state dict.
        original: Its keys, by their names without the marks of wrappers.
        prefix: That of the backbone, such as 'model.backbone.'.
    """
    beside = re.sub(r'[^.]+\.$', '', prefix)
    for layer in (place + head for place in (prefix, beside) for head in HEADS):
        found = {part: original.get(layer + part, '') for part in ('weight', 'bias')}
        shapes = [tuple(getattr(state.get(old), 'shape', ())) for old in found.values()]
        if len(shapes[0]) == 2 and shapes[1] == shapes[0][:1]:
            return found
    return {}


def _clean(key: str) -> str:
    """Remove the marks of wrappers, and undo the names of timm's `features_only`."""
    return re.sub(r'(^|\.)layers_(\d+)\.', r'\1layers.\2.', WRAPPERS.sub('', str(key)))


def _rename(key: str, rules: Rules) -> str:
    for pattern, replacement in rules:
        key = re.sub(pattern, replacement, key)
    return key


def _format_and_prefix(keys: list[str], name: str, prefix: str | None) -> tuple[Format, str]:
    found: dict[str, Format] = {}
    for form in FORMATS:
        for key in keys:
            start = key[: -len(form.signature)]
            if key.endswith(form.signature) and (not start or start.endswith('.')):
                found.setdefault(start, form)
    if prefix is not None:
        found = {p: form for p, form in found.items() if p.rstrip('.') == prefix.rstrip('.')}
    if not found:
        raise CheckpointError(_refusal(keys, name, prefix))
    if len(found) > 1:
        raise CheckpointError(
            f'checkpoint {name} holds {len(found)} Swin backbones, under {list(found)}; choose '
            'one with prefix=... in init_cfg'
        )
    ((prefix, form),) = found.items()
    return (MERGES_FIRST.get(form.name, form) if _merges_first(keys, prefix) else form), prefix


def _merges_first(keys: list[str], prefix: str) -> bool:
    """Whether patch merging is at the start of stages, as only in timm."""
    pattern = re.compile(rf'{re.escape(prefix)}layers\.(\d+)\.downsample\.')
    stages = {int(match[1]) for match in map(pattern.match, keys) if match}
    return bool(stages) and 0 not in stages


def _refusal(keys: list[str], name: str, prefix: str | None) -> str:
    for mark, kind in OTHER_ARCHITECTURES:
        if any(mark in key for key in keys):
            return f'checkpoint {name} is not a Swin Transformer: it seems to be {kind}'
    where = '' if prefix is None else f' under the prefix {prefix!r}'
    return (
        f'checkpoint {name} holds no Swin Transformer{where}: no key ends in '
        f'{OFFICIAL.signature} or its equivalent in another format; its keys are '
        f'{truncate(keys) or "none"}'
    )


# ------------------------------------------------------------------------------------- architecture


# Parameters with an axis of heads of attention, and which it is.
HEAD_AXES = {
    'attn.logit_scale': 0,
    'attn.cpb_mlp.2.weight': 0,
    'attn.linear_cpb_mlp.2.weight': 0,
    'attn.relative_position_bias_table.weight': 1,
}


def arch_of(state: Mapping[str, Tensor]) -> Arch:
    """Channels, depths, heads and extra norms, from names and shapes of the parameters.

    Heads are those of the logit scale or the position bias, because the paper gives none for H and
    G. Extra norms are `norm3` in every n-th block of a stage.
    """
    heads: dict[int, dict[int, int]] = {}
    extra = set()
    for key, value in state.items():
        if match := re.fullmatch(r'layers\.(\d+)\.blocks\.(\d+)\.(.+)', key):
            stage, block = int(match[1]), int(match[2])
            blocks = heads.setdefault(stage, {})
            if value.dim() > HEAD_AXES.get(match[3], value.dim()):
                blocks[block] = value.shape[HEAD_AXES[match[3]]]
            elif match[3] == 'norm3.weight':
                extra.add(block + 1)
    stages = sorted(heads)
    scale = state.get('layers.0.blocks.0.attn.proj.weight')
    return Arch(
        0 if scale is None else scale.shape[0],
        tuple(max(heads[s], default=-1) + 1 for s in stages),
        tuple(max(heads[s].values(), default=0) for s in stages),
        min(extra, default=0),
    )


def arch_name(arch: Arch, parts: Parts = V2) -> str:
    """'SwinV2-B' for a row of `ARCHS` ('SwinV1-B' for V1), else the dict to set as `arch`."""
    for name, row in ARCHS.items():
        if row == arch:
            return f'Swin{"V1" if parts == V1 else "V2"}-{name.upper()}'
    settings = {k: v for k, v in arch._asdict().items() if v or k != 'extra_norm_every'}
    return f'arch=dict({", ".join(f"{k}={v}" for k, v in settings.items())})'


def summarize_keys(names: list[str]) -> str:
    """The distinct names, with numbers replaced by `*`."""
    return ', '.join(dict.fromkeys(re.sub(r'\.\d+\.', '.*.', name) for name in names))
