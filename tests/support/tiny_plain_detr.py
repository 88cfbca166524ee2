"""A narrow Plain-DETR and random images for it."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

CLASSES, WIDTH = 5, 32


def plain_detr_config(pixels: bool = False, **changes: Any) -> ConfigDict:
    """With BoxRPB; `pixels` is the reparameterized form. 12 and 18 queries, of 340 proposals."""
    box_cost = dict(type='BBoxL1Cost', weight=5.0, box_format='xywh')
    if pixels:
        box_cost = dict(type='BoxDeltaL1Cost', weight=1.0)
    cfg = dict(
        type='PlainDETR',
        num_queries=12,
        num_one_to_many=18,
        coordinates=dict(type='PixelBoxes' if pixels else 'NormalizedBoxes'),
        data_preprocessor=dict(type='DetDataPreprocessor'),
        backbone=dict(
            type='SwinTransformerV2',
            arch=dict(embed_dims=8, depths=(1, 1, 1, 2), num_heads=(1, 1, 2, 4)),
            window_size=4,
            drop_path_rate=0.0,
            out_indices=(3,),
            global_blocks={3: [0, 1]},
        ),
        neck=[
            dict(type='MapUpsampling', in_channels=64),
            dict(
                type='ChannelMapper',
                in_channels=[32],
                out_channels=WIDTH,
                kernel_size=1,
                bias=True,
                act_cfg=None,
                norm_cfg=dict(type='GN', num_groups=8),
            ),
        ],
        decoder=dict(
            num_layers=2,
            embed_dims=WIDTH,
            num_heads=4,
            feedforward_channels=48,
            rpb_hidden_dims=16,
        ),
        positional_encoding=dict(
            type='CellSinePositionalEncoding', num_feats=WIDTH // 2, normalize=not pixels
        ),
        bbox_head=dict(
            type='PlainDETRHead',
            num_classes=CLASSES,
            embed_dims=WIDTH,
            one_to_many=3,
            loss_cls=dict(
                type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=2.0
            ),
            loss_bbox=dict(type='L1Loss', loss_weight=1.0 if pixels else 5.0),
            loss_iou=dict(type='GIoULoss', loss_weight=2.0),
        ),
        train_cfg=dict(
            assigner=dict(
                type='HungarianAssigner',
                match_costs=[
                    dict(type='FocalLossCost', weight=2.0),
                    box_cost,
                    dict(type='IoUCost', iou_mode='giou', weight=2.0),
                ],
            )
        ),
        test_cfg=dict(max_per_img=10),
    )
    whole = Config(dict(model=cfg))
    whole.merge_from_dict({f'model.{key}': value for key, value in changes.items()})
    return whole.model


def build_plain_detr(pixels: bool = False, seed: int = 0, **changes: Any) -> torch.nn.Module:
    """All parameters random: initial norms of the backbone and box branches are zero."""
    from mmdet.registry import MODELS

    import swinv2_dense.det  # noqa: F401

    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(plain_detr_config(pixels, **changes))
    model.init_weights()
    for name, param in model.named_parameters():
        if param.dim() == 1 or 'reg_branches' in name:
            param.data.add_(torch.randn_like(param) * 0.2)
        if 'cpb_mlp' in name and 'decoder' in name:
            param.data.normal_(std=0.1)
    return model


def sample(size: tuple[int, int], boxes: list, labels: list) -> Any:
    """A sample of an image of size (H, W)."""
    from mmdet.structures import DetDataSample

    found = DetDataSample(metainfo=dict(img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0)))
    found.gt_instances = InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor(labels, dtype=torch.long),
    )
    return found


def two_images() -> tuple[list[torch.Tensor], list[Any]]:
    """Of different size, neither of them the larger one in both directions, none whole cells."""
    generator = torch.Generator().manual_seed(0)
    sizes = (120, 141), (150, 97)
    images = [torch.randn(3, *size, generator=generator) for size in sizes]
    boxes = [[[10, 20, 90, 110], [60, 5, 135, 60]], [[5, 30, 90, 140]]]
    return images, [sample(*rest) for rest in zip(sizes, boxes, ([1, 4], [2]))]


def padded(images: list[torch.Tensor]) -> torch.Tensor:
    """(B, 3, H, W), with zeros at the right and the bottom."""
    height, width = (max(image.shape[axis] for image in images) for axis in (1, 2))
    batch = images[0].new_zeros(len(images), 3, height, width)
    for target, image in zip(batch, images):
        target[:, : image.shape[1], : image.shape[2]] = image
    return batch
