"""Make a detection config fit a test: the same parts with fewer channels, on small images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

WIDTH = 16  # channels of neck and heads, 256 in the configs
ARCH = dict(embed_dims=16, depths=(1, 1, 2, 1), num_heads=(1, 2, 4, 8))
CHANNELS = [16, 32, 64, 128]
PIXELS = ('scale', 'scales', 'crop_size', 'size')
CHANNEL_KEYS = ('in_channels', 'out_channels', 'feat_channels', 'conv_out_channels')


def narrow_model(model: Any, width: int = WIDTH) -> None:
    """Fewer channels, blocks and proposals; every part and loss stays, the window too."""
    model.backbone.update(arch=ARCH, init_cfg=None)
    for part in model.neck if isinstance(model.neck, list) else [model.neck]:
        part.in_channels = CHANNELS[-len(part.in_channels) :]
        if 'num_heads' in part:
            part.num_heads = 4
    for node in mappings(model):
        for key in CHANNEL_KEYS:
            if node.get(key) == 256:
                node[key] = width
        if node.get('type', '').endswith('BBoxHead'):
            node.update(fc_out_channels=2 * width, conv_out_channels=width)
        if node.get('nms_pre'):
            node.update(nms_pre=200, max_per_img=40)
        if node.get('num_groups'):
            node.num_groups = 4
        if node.get('type') == 'RandomSampler':
            node.num = 32
    if 'rpn_head' in model:
        model.train_cfg.rpn.allowed_border = -1  # no anchor lies within a very small image
    model.test_cfg.get('rcnn', model.test_cfg).update(max_per_img=5, score_thr=0.0)


def shrink_images(cfg: Any, factor: float) -> None:
    """Divide all sizes in pixels of pipelines and of the data preprocessor, to multiples of 8."""
    for node in mappings(cfg._cfg_dict):  # mmengine's Config itself is no mapping
        if 'type' in node:
            for key in PIXELS:
                if node.get(key):
                    node[key] = _divided(node[key], factor)


def use_data(cfg: Any, root: Path, ann_file: str = 'annotations/{}.json') -> None:
    """Read the tree that `tests/support/coco_tree.py` writes, in the process that trains."""
    for part, split in (('train', 'train'), ('val', 'val'), ('test', 'val')):
        loader = cfg[f'{part}_dataloader']
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset.update(data_root=f'{root}/', ann_file=ann_file.format(split))
        if part != 'train':
            cfg[f'{part}_evaluator'].ann_file = str(root / ann_file.format(split))


def mappings(node: Any) -> Any:
    if isinstance(node, Mapping):
        yield node
        for value in node.values():
            yield from mappings(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from mappings(value)


def _divided(value: Any, factor: float) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_divided(v, factor) for v in value)
    return max(8, round(value / factor / 8) * 8)
