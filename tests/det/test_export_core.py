"""Detectors with fixed shapes find what mmdet's own prediction finds."""

from __future__ import annotations

import copy

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.registry import MODELS, DefaultScope
from random_detectors import KINDS, detector

from swinv2_dense.det.export_core import detector_core
from swinv2_dense.det.exported import detector_differences, instances, mask_paster
from swinv2_dense.errors import ConfigError

INPUT, IMAGE = (128, 128), (104, 120)  # the image fills a part of the input


def atss() -> torch.nn.Module:
    """A small ATSS detector that finds many boxes."""
    torch.manual_seed(0)
    model = detector('HTC')
    anchors = dict(type='AnchorGenerator', ratios=[1.0], octave_base_scale=4, scales_per_octave=1)
    head = dict(
        type='ATSSHead',
        num_classes=6,
        in_channels=48,
        feat_channels=16,
        stacked_convs=1,
        norm_cfg=dict(type='GN', num_groups=4),
        anchor_generator=dict(strides=[4, 8, 16, 32], **anchors),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_stds=[0.1, 0.1, 0.2, 0.2]),
        loss_bbox=dict(type='GIoULoss'),
        init_cfg=dict(type='Normal', layer='Conv2d', std=0.1),
    )
    settings = dict(nms_pre=200, min_bbox_size=0, score_thr=0.3, max_per_img=60)
    settings['nms'] = dict(type='nms', iou_threshold=0.6)
    with DefaultScope.overwrite_default_scope('mmdet'):
        dense = MODELS.build(
            dict(
                type='ATSS',
                backbone=_backbone(),
                neck=None,
                bbox_head=head,
                test_cfg=ConfigDict(settings),
            )
        )
    dense.init_weights()
    dense.backbone, dense.neck = model.backbone, model.neck
    return dense.eval()


def _backbone() -> dict:
    arch = dict(embed_dims=16, depths=(1,), num_heads=(1,))
    return dict(type='SwinTransformerV2', arch=arch, out_indices=(0,))


def compare(model: torch.nn.Module) -> int:
    """Both predictions of one image; returns the number of objects."""
    x = torch.randn(1, 3, *INPUT)
    x[..., IMAGE[0] :, :] = 0
    x[..., IMAGE[1] :] = 0
    meta = dict(img_shape=IMAGE, ori_shape=IMAGE, scale_factor=(1.0, 1.0), img_id=0)
    meta['batch_input_shape'] = meta['pad_shape'] = INPUT
    with torch.no_grad():
        (expected,) = model.predict(x, [DetDataSample(metainfo=meta)], rescale=True)
        core = detector_core(copy.deepcopy(model), raw=False)
        outputs = dict(zip(core.names, core(x, torch.tensor([IMAGE]))))
    settings = ConfigDict(mask_thr_binary=0.5)
    found = DetDataSample(metainfo=meta)
    found.pred_instances = instances(outputs, meta, mask_paster(), settings, True)
    differences = detector_differences(expected, found)
    assert len(found.pred_instances) == len(expected.pred_instances)
    assert all(value < 1e-5 for value in differences.values()), differences
    assert ('masks' in outputs) == ('masks' in expected.pred_instances)
    return len(expected.pred_instances)


@pytest.mark.parametrize('kind', [*KINDS, 'HTC without masks'])
@pytest.mark.parametrize('nms', ['soft_nms', 'nms'])
def test_two_stages(kind, nms):
    model = detector(kind)
    model.roi_head.test_cfg.nms.type = nms
    assert compare(model) > 10


def test_fewer_proposals_than_the_list_holds():
    model = detector('Mask R-CNN')
    model.rpn_head.test_cfg.nms.iou_threshold = 0.05
    model.rpn_head.test_cfg.max_per_img = 400
    assert compare(model) > 3


def test_dense_heads():
    assert compare(atss()) > 10


def test_no_objects():
    model = detector('Mask R-CNN')
    model.roi_head.test_cfg.score_thr = 1.0
    assert compare(model) == 0


def test_raw_maps_are_those_of_the_first_head():
    model = detector('Mask R-CNN')
    x = torch.randn(1, 3, *INPUT)
    with torch.no_grad():
        scores, deltas = model.rpn_head(model.extract_feat(x))
        core = detector_core(model, raw=True)
        outputs = dict(zip(core.names, core(x)))
    assert len(outputs) == 2 * len(scores)
    for level, (score, delta) in enumerate(zip(scores, deltas)):
        torch.testing.assert_close(outputs[f'cls_score_{level}'], score)
        torch.testing.assert_close(outputs[f'bbox_pred_{level}'], delta)


def test_differences_are_seen():
    """Of another class, a moved box, a missing object."""
    meta = dict(ori_shape=(100, 100), scale_factor=(1.0, 1.0))

    def sample(boxes, labels):
        found = DetDataSample(metainfo=meta)
        outputs = dict(
            boxes=torch.tensor(boxes), scores=torch.full((len(boxes),), 0.5), labels=labels
        )
        found.pred_instances = instances(outputs, meta, mask_paster(), ConfigDict(), True)
        return found

    boxes, labels = [[0.0, 0.0, 10.0, 10.0], [50.0, 50.0, 60.0, 60.0]], torch.tensor([1, 2])
    expected = sample(boxes, labels)
    assert detector_differences(expected, sample(boxes, labels))['boxes'] == 0
    moved = [boxes[0], [50.0, 50.0, 60.0, 63.0]]
    assert detector_differences(expected, sample(moved, labels))['boxes'] == pytest.approx(0.03)
    assert detector_differences(expected, sample(boxes, labels.flip(0)))['unmatched'] == 1
    assert detector_differences(expected, sample(boxes[:1], labels[:1]))['unmatched'] == 0.5


def test_what_cannot_be_exported_is_named():
    model = detector('Mask R-CNN')
    model.roi_head.test_cfg.nms.type = 'soft_nms_of_mine'
    with pytest.raises(ConfigError, match='soft_nms_of_mine'):
        detector_core(model, raw=False)
    model.rpn_head.__class__ = type('OtherHead', (type(model.rpn_head),), {})
    with pytest.raises(ConfigError, match='MaskRCNN with OtherHead and StandardRoIHead'):
        detector_core(model, raw=False)


def test_raw_needs_a_dense_head():
    """A DETR has none, and the other error does not propose `--raw` then."""
    model = detector('Mask R-CNN')
    del model.rpn_head.prior_generator
    with pytest.raises(ConfigError, match='--raw: MaskRCNN has no dense head; use --part neck'):
        detector_core(model, raw=True)
    model.rpn_head.__class__ = type('OtherHead', (type(model.rpn_head),), {})
    with pytest.raises(ConfigError, match='with fixed shapes; use --part neck'):
        detector_core(model, raw=False)
