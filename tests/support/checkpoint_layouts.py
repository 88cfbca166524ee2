"""Checkpoints in the layout of the official code, and a model to train."""

from __future__ import annotations

import torch
from layouts import TABLES, depths_of, official, with_tables
from mmengine.model import BaseModel
from tiny_models import TINY

from swinv2_dense import SwinTransformerV2


def official_layout(model: SwinTransformerV2, windows: list, pretrained_windows: list) -> dict:
    """A checkpoint of the official classifier: tables, masks, final norm and head."""
    ours = dict(model.state_dict())
    state = official(ours)
    state = with_tables(state, TABLES['official'], depths_of(ours), windows, pretrained_windows)
    state['layers.0.blocks.1.attn_mask'] = torch.zeros(4, windows[0] ** 2, windows[0] ** 2)
    return {'model': state}


def saved(tmp_path, checkpoint: dict) -> str:
    path = tmp_path / 'swinv2.pth'
    torch.save(checkpoint, path)
    return str(path)


class Recognizer(BaseModel):
    """A model whose backbone gets its windows from a checkpoint, for mmengine's Runner."""

    def __init__(self, checkpoint: str | None = None) -> None:
        super().__init__()
        init_cfg = dict(type='Pretrained', checkpoint=checkpoint) if checkpoint else None
        self.backbone = SwinTransformerV2(TINY, window_size=4, init_cfg=init_cfg)

    def forward(self, inputs: torch.Tensor, mode: str = 'tensor') -> object:
        maps = self.backbone(inputs)
        return dict(loss=maps[3].square().mean()) if mode == 'loss' else maps
