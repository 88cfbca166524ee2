"""Convert released checkpoints of Plain-DETR to the detector of this package."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdet.datasets import CocoDataset
from torch import Tensor

from ...checkpoints.fetching import fetch
from ...checkpoints.formats import DERIVED, METADATA_KEY
from ...checkpoints.pretrained_windows import windows_from_coords_table
from ...checkpoints.reading import HEADER, read_checkpoint_file, unwrap
from ...checkpoints.writing import check_target, write
from ...checks.result_cache import file_digest
from ...errors import CheckpointError, truncate

SIGNATURE = ('transformer.decoder.final_layer_norm.weight', 'class_embed.0.weight')
# Names of the released code -> ours, applied in turn. Its layers number their norms from
# cross-attention on; ours are in the order in which they run.
NAMES = (
    (r'^backbone\.0\.net\.body\.', 'backbone.'),
    (r'^backbone\.0\.upsample\.', 'neck.0.upsample.'),
    (r'^input_proj\.0\.0\.', 'neck.1.convs.0.conv.'),
    (r'^input_proj\.0\.1\.', 'neck.1.convs.0.gn.'),
    (r'^transformer\.level_embed$', 'map_embed'),
    (r'^transformer\.enc_output\.', 'proposals.linear.'),
    (r'^transformer\.enc_output_norm\.', 'proposals.norm.'),
    (r'^transformer\.enc_output_proj\.', 'proposals.levels.'),
    (r'\.ln\.', '.'),
    (r'^transformer\.pos_trans\.', 'pos_trans_fc.'),
    (r'^transformer\.pos_trans_norm\.', 'pos_trans_norm.'),
    (r'^query_embed\.', 'query_embedding.'),
    (r'^transformer\.decoder\.final_layer_norm\.', 'decoder.norm.'),
    (r'^transformer\.decoder\.layers\.(\d+)\.', r'decoder.layers.\1.'),
    (r'\.cross_attn\.cpb_mlp1\.', '.box_rpb.cpb_mlp_x.'),
    (r'\.cross_attn\.cpb_mlp2\.', '.box_rpb.cpb_mlp_y.'),
    (r'^(decoder\.layers\.\d+)\.norm2\.', r'\1.norm_of_self_attention.'),
    (r'^(decoder\.layers\.\d+)\.norm1\.', r'\1.norm2.'),
    (r'\.norm_of_self_attention\.', '.norm1.'),
    (r'\.linear1\.', '.ffn.0.'),
    (r'\.linear2\.', '.ffn.2.'),
    (r'^class_embed\.', 'bbox_head.cls_branches.'),
    (r'^bbox_embed\.(\d+)\.layers\.0\.', r'bbox_head.reg_branches.\1.0.'),
    (r'^bbox_embed\.(\d+)\.layers\.1\.', r'bbox_head.reg_branches.\1.2.'),
    (r'^bbox_embed\.(\d+)\.layers\.2\.', r'bbox_head.reg_branches.\1.4.'),
)
# The decoder of the released code refers to the branches of the head under names of its own.
COPIES = re.compile(r'transformer\.decoder\.(class_embed|bbox_embed)\.')
# Of its backbone, also in fine-tuning; the configs set them.
EPSILONS = dict(norm_eps=1e-6, cosine_eps=5e-5)
# Of mmdet's 80 classes, in its order.
COCO_IDS = [i for i in range(1, 91) if i not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]


def convert_plain_detr(source: str, target: Path) -> dict[str, Any]:
    """Write a released Plain-DETR as a checkpoint for `load_from` and the commands.

    Args:
        source: Path or URL.
        target: A file that does not exist, .safetensors or .pth.

    Returns:
        The metadata in the written file.

    Raises:
        CheckpointError: The source is not a Plain-DETR, or the target cannot be written.
    """
    check_target(target)
    file = fetch(source)
    state, _ = unwrap(read_checkpoint_file(file.path, map_location='cpu'))
    converted = OrderedDict(rename(state, source))
    windows = pretrained_windows(state, source)
    converted._metadata = OrderedDict(backbone={METADATA_KEY: windows})
    meta = dict(
        source=source if '://' in source else Path(source).name,
        format='Plain-DETR',
        pretrained_window_sizes=[list(window) for window in windows],
        **EPSILONS,
        sha256=file_digest(file.path) if file.path.is_file() else None,
    )
    dataset = dict(classes=CocoDataset.METAINFO['classes'])
    write(dict(state_dict=converted, meta={HEADER: meta, 'dataset_meta': dataset}), target)
    return meta


def rename(state: Mapping[str, Tensor], name: str = 'the checkpoint') -> dict[str, Tensor]:
    """State dict of the released code -> that of `PlainDETR`.

    The released heads have 91 classes, the ids of COCO. Ours have the 80 that exist. In the branch
    of the proposals, class 0 means "object" in both.

    Raises:
        CheckpointError: It is not a Plain-DETR.
    """
    absent = [key for key in SIGNATURE if key not in state]
    if absent:
        raise CheckpointError(
            f'checkpoint {name} is not a Plain-DETR: it has no {absent[0]}; its keys are '
            f'{truncate(list(state)) or "none"}'
        )
    out: dict[str, Tensor] = {}
    for key, value in state.items():
        if COPIES.match(key) or key.endswith(DERIVED):
            continue
        for pattern, replacement in NAMES:
            key = re.sub(pattern, replacement, key)
        out[key] = value.flatten() if key == 'map_embed' else value
    last = max(int(key.split('.')[2]) for key in out if key.startswith('bbox_head.cls_branches.'))
    for key in [k for k in out if k.startswith('bbox_head.cls_branches.')]:
        if len(out[key]) == 91:
            is_proposal = key.startswith(f'bbox_head.cls_branches.{last}.')
            out[key] = out[key][[0, *COCO_IDS[1:]] if is_proposal else COCO_IDS]
    return out


def pretrained_windows(state: Mapping[str, Tensor], name: str) -> list[tuple[int, ...]]:
    """Of the backbone, per stage.

    Stages of windows have tables of coordinates, those of global blocks do not. In pre-training
    the last stage had half the window of the others, its whole map.

    Raises:
        CheckpointError: There are no tables.
    """
    found = windows_from_coords_table(state, 3, 'backbone.0.net.body.')
    if found is None:
        raise CheckpointError(
            f'checkpoint {name} lacks the relative_coords_table of the stages 1 to 3, which tell '
            'what windows its backbone was trained with'
        )
    return [*found, tuple(extent // 2 for extent in found[-1])]
