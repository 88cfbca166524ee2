"""Small detectors with random weights that find many boxes."""

from __future__ import annotations

import math

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, DefaultScope
from torch import nn

import swinv2_dense


def config(kind: str) -> ConfigDict:
    """The quickstart's model, a shallower one, or its parts put together as another detector."""
    model = Config.fromfile(swinv2_dense.config_path('_base_/models/htc++_small.py')).model
    model.backbone.arch.depths = (1, 1, 1, 1)
    model.rpn_head.anchor_generator.scales = [8]  # larger boxes
    head = model.roi_head
    if kind != 'HTC with semantic branch':
        del head['semantic_head'], head['semantic_roi_extractor']
    if kind in ('Cascade Mask R-CNN', 'Mask R-CNN'):
        del head['interleaved'], head['mask_info_flow']
        model.type, head.type = 'CascadeRCNN', 'CascadeRoIHead'
        for mask_head in head.mask_head:
            mask_head.type = 'FCNMaskHead'
            del mask_head['with_conv_res']
        for box_head in head.bbox_head:
            box_head.reg_class_agnostic = False
    if kind == 'HTC without masks':
        head.update(interleaved=False, mask_head=None, mask_roi_extractor=None)
    if kind == 'Mask R-CNN':
        del head['num_stages'], head['stage_loss_weights']
        model.type, head.type = 'MaskRCNN', 'StandardRoIHead'
        head.bbox_head, head.mask_head = head.bbox_head[0], head.mask_head[0]
        model.train_cfg.rcnn = model.train_cfg.rcnn[0]
    return model


KINDS = ['HTC with semantic branch', 'HTC', 'Cascade Mask R-CNN', 'Mask R-CNN']


def detector(kind: str) -> nn.Module:
    """Random weights that give many boxes, of scores and masks of their own."""
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(config(kind))
    model.init_weights()
    for name, param in model.named_parameters():
        if name.startswith(('rpn_head', 'roi_head')) and param.ndim > 1:
            scale = 0.3 if '_reg' in name else 3.0 if 'logits' in name or 'cls' in name else 1.0
            param.data.copy_(torch.randn_like(param) * scale / math.sqrt(param[0].numel()))
    return model.eval()
