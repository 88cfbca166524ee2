"""Make a config of a DETR or of Mask2Former fit a test: fewer channels, layers and queries."""

from __future__ import annotations

from typing import Any

from narrow import ARCH, CHANNELS, mappings

WIDTH = 32
SIZES = {  # by key: value in the configs, value in the test
    'embed_dims': (256, WIDTH),
    'feat_channels': (256, WIDTH),
    'out_channels': (256, WIDTH),
    'num_feats': (128, WIDTH // 2),
    'num_points': (12544, 64),
    'num_dn_queries': (100, 10),
    'num_one_to_many': (1500, 24),
}


def narrow_detr(model: Any) -> None:
    """Every part and loss stays."""
    model.backbone.update(arch=dict(ARCH, depths=(1, 1, 2, 2)), init_cfg=None)
    # DINO's decoder encodes boxes in 512 channels, whatever its width.
    kept = ('embed_dims', 'out_channels', 'num_feats') if model.type == 'DINO' else ()
    channels = [CHANNELS[i] for i in model.backbone.get('out_indices', (0, 1, 2, 3))]
    for node in mappings(model):
        for key, (before, after) in SIZES.items():
            if node.get(key) == before and key not in kept:
                node[key] = after
        if 'feedforward_channels' in node:
            node.feedforward_channels = 48
        if 'num_layers' in node:
            node.num_layers = 2
        if 'num_queries' in node:
            node.num_queries = 12
    if model.type == 'PlainDETR':
        model.neck[0].in_channels, model.neck[1].in_channels = channels[0], [channels[0] // 2]
        model.decoder.rpb_hidden_dims = 16
    elif model.type == 'DINO':
        model.neck.in_channels = channels
    else:
        model['panoptic_head' if 'panoptic_head' in model else 'decode_head'].in_channels = channels
    if model.type == 'PlainDETR':
        model.bbox_head.embed_dims = WIDTH
    if 'max_per_img' in model.test_cfg:
        model.test_cfg.max_per_img = 5
