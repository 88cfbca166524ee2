"""Checkpoints in the layouts of other libraries, written from their key maps.

Each function takes the state dict of a `SwinTransformerV2` with all four stages and returns the
parameters as the library names and arranges them. The maps are spelled out per parameter, not as
rules, so that they share nothing with `swinv2_dense/checkpoints/formats.py`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

State = dict[str, Tensor]


def coords_table(window: int, pretrained_window: int) -> Tensor:
    """(1, 2w-1, 2w-1, 2) as the official code stores it; pretrained window 0 means the window."""
    side = torch.arange(1 - window, window, dtype=torch.float32)
    side = side / ((pretrained_window or window) - 1) * 8
    side = side.sign() * torch.log2(side.abs() + 1.0) / math.log2(8)
    return torch.stack(torch.meshgrid(side, side, indexing='ij'), dim=-1)[None]


def depths_of(state: State) -> list[int]:
    blocks = {tuple(k.split('.')[1:4:2]) for k in state if '.blocks.' in k}
    return [sum(stage == str(s) for stage, _ in blocks) for s in range(4)]


def with_tables(
    state: State, attn: str, depths: list[int], windows: list[int], pretrained_windows: list[int]
) -> State:
    """Add the buffers of every block; `attn` is their prefix, with {s}, {v} and {b}."""
    state = dict(state)
    for s, (depth, window, pretrained_window) in enumerate(
        zip(depths, windows, pretrained_windows)
    ):
        for b in range(depth):
            prefix = attn.format(s=s, v=2 * s + 1, b=b)
            state[f'{prefix}.relative_coords_table'] = coords_table(window, pretrained_window)
            state[f'{prefix}.relative_position_index'] = torch.zeros(window**2, window**2).long()
    return state


def head_of(ours: State) -> dict[str, Tensor]:
    """Weight and bias of a classifier: ours, or zeros for 10 classes."""
    channels = len(ours['norm3.bias'])
    zeros = {'weight': torch.zeros(10, channels), 'bias': torch.zeros(10)}
    return {part: ours.get(f'head.fc.{part}', value) for part, value in zeros.items()}


def official(ours: State) -> State:
    """Final norm instead of output norms, and a classifier."""
    state = {k: v for k, v in ours.items() if not k.startswith(('norm', 'head'))}
    state['norm.weight'], state['norm.bias'] = ours['norm3.weight'], ours['norm3.bias']
    return state | {f'head.{part}': value for part, value in head_of(ours).items()}


def simmim(ours: State) -> State:
    """The official pre-training: an encoder, a mask token and a decoder."""
    state = {}
    for key, value in official(ours).items():
        if not key.startswith('head'):
            state[f'encoder.{key.replace("cpb_mlp", "rpe_mlp")}'] = value
    state['encoder.mask_token'] = torch.zeros(1, 1, len(ours['patch_embed.proj.bias']))
    state['decoder.0.weight'] = torch.zeros(3072, len(ours['norm3.bias']), 1, 1)
    state['decoder.0.bias'] = torch.zeros(3072)
    return state


def timm(ours: State) -> State:
    """Patch merging one stage later; the head is a module with `fc`."""
    state = {}
    for key, value in official(ours).items():
        words = key.split('.')
        if 'downsample' in words:
            words[1] = str(int(words[1]) + 1)
        if words[0] == 'head':
            words.insert(1, 'fc')
        state['.'.join(words)] = value
    return state


def blockwise(ours: State, block_names: dict[str, str], block: str) -> State:
    """The parameters of all blocks under other names; ours without a new name are left out."""
    state = {}
    for key, value in ours.items():
        words = key.split('.')
        if words[0] == 'layers' and words[2] == 'blocks':
            s, b, name = int(words[1]), words[3], '.'.join(words[4:])
            if name in block_names:
                state[block.format(s=s, v=2 * s + 1, b=b) + block_names[name]] = value
    return state


def both(**names: str) -> dict[str, str]:
    """Weight and bias of modules: our name to theirs."""
    return {f'{a}.{p}': f'{b}.{p}' for a, b in names.items() for p in ('weight', 'bias')}


CPB = ('0.weight', '0.bias', '2.weight')


def hugging_face(ours: State, prefix: str = 'swinv2.') -> State:
    """Queries, keys and values apart, keys without bias."""
    names = {
        **both(norm1='layernorm_before', norm2='layernorm_after'),
        **both(**{'attn.proj': 'attention.output.dense'}),
        **both(**{'mlp.fc1': 'intermediate.dense', 'mlp.fc2': 'output.dense'}),
        'attn.logit_scale': 'attention.self.logit_scale',
        'attn.q_bias': 'attention.self.query.bias',
        'attn.v_bias': 'attention.self.value.bias',
        **{f'attn.cpb_mlp.{p}': f'attention.self.continuous_position_bias_mlp.{p}' for p in CPB},
    }
    state = blockwise(ours, names, 'encoder.layers.{s}.blocks.{b}.')
    for key, value in ours.items():
        if key.endswith('attn.qkv.weight'):
            base = 'encoder.' + key.replace('attn.qkv.weight', 'attention.self.')
            rows = value.shape[1]
            state[base + 'query.weight'] = value[:rows]
            state[base + 'key.weight'] = value[rows : 2 * rows]
            state[base + 'value.weight'] = value[2 * rows :]
        elif 'downsample' in key:
            state[f'encoder.{key}'] = value
    for p in ('weight', 'bias'):
        state[f'embeddings.patch_embeddings.projection.{p}'] = ours[f'patch_embed.proj.{p}']
        state[f'embeddings.norm.{p}'] = ours[f'patch_embed.norm.{p}']
        state[f'layernorm.{p}'] = ours[f'norm3.{p}']
    state['embeddings.mask_token'] = torch.zeros(1, 1, len(ours['patch_embed.proj.bias']))
    state = {prefix + key: value for key, value in state.items()}
    return state | {f'classifier.{part}': value for part, value in head_of(ours).items()}


def torchvision(ours: State) -> State:
    """One bias with a key third that is zero; blocks and patch merging numbered in one list."""
    names = {
        **both(norm1='norm1', norm2='norm2', **{'attn.proj': 'attn.proj'}),
        **both(**{'mlp.fc1': 'mlp.0', 'mlp.fc2': 'mlp.3'}),
        'attn.qkv.weight': 'attn.qkv.weight',
        'attn.logit_scale': 'attn.logit_scale',
        **{f'attn.cpb_mlp.{p}': f'attn.cpb_mlp.{p}' for p in CPB},
    }
    state = blockwise(ours, names, 'features.{v}.{b}.')
    for key, value in ours.items():
        words = key.split('.')
        if key.endswith('q_bias'):
            v_bias = ours[key.replace('q_bias', 'v_bias')]
            name = f'features.{2 * int(words[1]) + 1}.{words[3]}.attn.qkv.bias'
            state[name] = torch.cat([value, torch.zeros_like(value), v_bias])
        elif 'downsample' in words:
            state[f'features.{2 * int(words[1]) + 2}.' + '.'.join(words[3:])] = value
    for p in ('weight', 'bias'):
        state[f'features.0.0.{p}'] = ours[f'patch_embed.proj.{p}']
        state[f'features.0.2.{p}'] = ours[f'patch_embed.norm.{p}']
        state[f'norm.{p}'] = ours[f'norm3.{p}']
        state[f'head.{p}'] = head_of(ours)[p]
    return state


def mmpretrain(ours: State) -> State:
    """Patch merging one stage later, with the columns of nn.Unfold; FFN and window attention of
    their own.
    """
    attn = ['logit_scale', 'q_bias', 'v_bias', 'qkv.weight', 'proj.weight', 'proj.bias']
    attn += [f'cpb_mlp.{p}' for p in CPB]
    names = {
        **both(norm1='norm1', norm2='norm2', norm3='norm3'),
        **both(**{'mlp.fc1': 'ffn.layers.0.0', 'mlp.fc2': 'ffn.layers.1'}),
        **{f'attn.{p}': f'attn.w_msa.{p}' for p in attn},
    }
    state = blockwise(ours, names, 'stages.{s}.blocks.{b}.')
    for key, value in ours.items():
        words = key.split('.')
        if 'downsample' in words:
            name = f'stages.{int(words[1]) + 1}.' + '.'.join(words[2:])
            if words[-2] == 'reduction':  # nn.Unfold: channel c of neighbor (row, column)
                dims = value.shape[1] // 4
                unfold = torch.empty_like(value)
                for c in range(dims):
                    for row in (0, 1):
                        for column in (0, 1):
                            unfold[:, 4 * c + 2 * row + column] = value[
                                :, (2 * column + row) * dims + c
                            ]
                value = unfold
            state[name] = value
    for p in ('weight', 'bias'):
        state[f'patch_embed.projection.{p}'] = ours[f'patch_embed.proj.{p}']
        state[f'patch_embed.norm.{p}'] = ours[f'patch_embed.norm.{p}']
        state[f'norm3.{p}'] = ours[f'norm3.{p}']
    state = {f'backbone.{key}': value for key, value in state.items()}
    return state | {f'head.fc.{part}': value for part, value in head_of(ours).items()}


# Where each library keeps the buffers of a block, if it saves them.
TABLES = {
    'official': 'layers.{s}.blocks.{b}.attn',
    'SimMIM': 'encoder.layers.{s}.blocks.{b}.attn',
    'torchvision': 'features.{v}.{b}.attn',
    'mmpretrain': 'backbone.stages.{s}.blocks.{b}.attn.w_msa',
    'Hugging Face': 'swinv2.encoder.layers.{s}.blocks.{b}.attention.self',  # old files
}
LAYOUTS = {
    'official': official,
    'SimMIM': simmim,
    'timm': timm,
    'Hugging Face': hugging_face,
    'torchvision': torchvision,
    'mmpretrain': mmpretrain,
}


def plain_detr(ours: State, num_layers: int, classes: int) -> State:
    """The released Plain-DETR, from the state dict of our detector with its three proposal steps.

    `classes` is the number of its logits, of which ours has those of COCO's ids.
    """
    state: State = {}
    for key, value in ours.items():
        if key.startswith('backbone.'):
            state[key.replace('backbone.', 'backbone.0.net.body.', 1)] = value
    for part in ('weight', 'bias'):
        state[f'backbone.0.upsample.0.{part}'] = ours[f'neck.0.upsample.0.{part}']
        state[f'input_proj.0.0.{part}'] = ours[f'neck.1.convs.0.conv.{part}']
        state[f'input_proj.0.1.{part}'] = ours[f'neck.1.convs.0.gn.{part}']
        state[f'transformer.enc_output.{part}'] = ours[f'proposals.linear.{part}']
        state[f'transformer.enc_output_norm.{part}'] = ours[f'proposals.norm.{part}']
        state[f'transformer.pos_trans.{part}'] = ours[f'pos_trans_fc.{part}']
        state[f'transformer.pos_trans_norm.{part}'] = ours[f'pos_trans_norm.{part}']
        state[f'transformer.decoder.final_layer_norm.{part}'] = ours[f'decoder.norm.{part}']
        for own in ('0.0', '2.0', '3.0', '3.1', '3.3'):
            theirs = own.replace('3.1', '3.1.ln')
            value = ours[f'proposals.levels.{own}.{part}']
            state[f'transformer.enc_output_proj.{theirs}.{part}'] = value
        for i in range(num_layers):
            theirs, own = f'transformer.decoder.layers.{i}', f'decoder.layers.{i}'
            pairs = dict(
                norm1='norm2', norm2='norm1', norm3='norm3', linear1='ffn.0', linear2='ffn.2'
            )
            for same in ('q', 'k', 'v', 'proj'):
                pairs[f'cross_attn.{same}'] = f'cross_attn.{same}'
            pairs['self_attn.out_proj'] = 'self_attn.out_proj'
            for a, b in (('1', 'x'), ('2', 'y')):
                pairs[f'cross_attn.cpb_mlp{a}.0'] = f'box_rpb.cpb_mlp_{b}.0'
                if part == 'weight':
                    pairs[f'cross_attn.cpb_mlp{a}.2'] = f'box_rpb.cpb_mlp_{b}.2'
            for a, b in pairs.items():
                state[f'{theirs}.{a}.{part}'] = ours[f'{own}.{b}.{part}']
            key = f'self_attn.in_proj_{part}'
            state[f'{theirs}.{key}'] = ours[f'{own}.{key}']
        for i in range(num_layers + 1):
            for prefix in ('', 'transformer.decoder.'):
                logits = ours[f'bbox_head.cls_branches.{i}.{part}']
                wide = torch.randn(classes, *logits.shape[1:])
                ids = [c for c in range(1, classes) if c not in NO_COCO_IDS]
                wide[[0, *ids[1:]] if i == num_layers else ids] = logits
                state[f'{prefix}class_embed.{i}.{part}'] = wide
                for step in range(3):
                    value = ours[f'bbox_head.reg_branches.{i}.{2 * step}.{part}']
                    state[f'{prefix}bbox_embed.{i}.layers.{step}.{part}'] = value
    state['transformer.level_embed'] = ours['map_embed'][None]
    state['query_embed.weight'] = ours['query_embedding.weight']
    return state


NO_COCO_IDS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
