"""Load a SimMIM checkpoint with its mask token and decoder, so that pre-training continues."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.logging import print_log

from ..checkpoints.formats import DERIVED
from ..checkpoints.loading import LoadReport, check_values, load_weights, read_weights
from ..errors import CheckpointError, truncate

MASK = 'mask_token'
DECODER = ('decoder.0.weight', 'decoder.0.bias')
NAMES = (MASK, *DECODER)


def load_simmim(model: Any, source: str, prefix: str | None = None) -> LoadReport:
    """Load a checkpoint of the official SimMIM, of transformers or of this package, or raise.

    Every key must be known. Released files of SwinV2-S, B and L hold `encoder.*`,
    `encoder.mask_token` and `decoder.0.*`. Those of H and of the model with 1.06 B parameters are
    assumed to name their parameters in the same way, with extra norms (H) as `norm3`: their code
    was not released, so a key that is not expected ends the start instead of being ignored.

    Args:
        model: A `SimMIM`.
        source: Path, URL or `hf://owner/name`.
        prefix: Prefix of the backbone's keys, if the checkpoint holds several backbones.

    Raises:
        CheckpointError: See `load_pretrained`; or the checkpoint lacks the mask token or the
            decoder, they have other shapes, or it holds a parameter that the model does not have.
    """
    weights, file = read_weights(source, prefix)
    found = {_name(key): value for key, value in weights.rest.items() if _name(key) in NAMES}
    own = {MASK: model.mask_token, **dict(zip(DECODER, model.decoder[0].parameters()))}
    missing = [name for name in own if name not in found]
    if missing:
        raise CheckpointError(
            f'checkpoint {source} lacks {", ".join(missing)} of SimMIM; to start from its backbone '
            f"alone, use model.backbone.init_cfg=dict(type='Pretrained', checkpoint={source!r})"
        )
    known = {*dict(model.backbone.named_parameters()), 'norm.weight', 'norm.bias'}
    unknown = [key for key in weights.state if key not in known]
    unknown += [k for k in weights.rest if _name(k) not in NAMES and not k.endswith(DERIVED)]
    if unknown:
        raise CheckpointError(
            f'checkpoint {source} has {len(unknown)} parameters that SimMIM with this backbone '
            f'does not have: {truncate(unknown)}. Without them it would compute something else; '
            'nothing was loaded'
        )
    check_values({name: value.shape for name, value in own.items()}, found, source)
    report = load_weights(model.backbone, weights, file)
    with torch.no_grad():
        for name, value in found.items():
            own[name].copy_(value)
    print_log(f'  and beside the backbone: {", ".join(found)}', 'current')
    return report


def _name(key: str) -> str:
    """Our name of a parameter beside the backbone; the prefixes of wrappers are dropped."""
    parts = key.split('.')
    return MASK if parts[-1] == MASK else '.'.join(parts[-3:])
