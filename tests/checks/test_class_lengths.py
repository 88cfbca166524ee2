"""Settings with one entry per class follow the number of classes, and are checked against it."""

from __future__ import annotations

import pytest
from mmengine.config import Config, ConfigDict

from swinv2_dense.checks.class_lengths import check_class_weights
from swinv2_dense.errors import ConfigError
from swinv2_dense.own_data import set_num_classes


def model(loss: dict, **head: object) -> ConfigDict:
    return ConfigDict(decode_head=dict(type='Head', num_classes=3, loss_cls=loss, **head))


@pytest.mark.parametrize(
    'old, new',
    [
        ([1.0, 1.0, 1.0, 0.1], [1.0] * 5 + [0.1]),  # Mask2Former: the last is "no object"
        ([2.0, 2.0, 2.0], [2.0] * 5),
        ((1.0, 1.0, 1.0, 1.0), [1.0] * 6),
        (None, None),
        ('weights.npy', 'weights.npy'),
    ],
)
def test_class_weights_get_the_new_length(old, new):
    base = model(dict(type='CrossEntropyLoss', class_weight=old))
    changed = set_num_classes(base, 5)
    assert changed.decode_head.num_classes == 5
    assert changed.decode_head.loss_cls.class_weight == new
    assert base.decode_head.loss_cls.class_weight == old and base.decode_head.num_classes == 3
    check_class_weights('model.decode_head', changed.decode_head)
    assert set_num_classes(base, 3) == base


def test_one_more_class_is_not_background():
    weights = set_num_classes(model(dict(class_weight=[1.0, 1.0, 1.0, 0.1])), 4)
    assert weights.decode_head.loss_cls.class_weight == [1.0, 1.0, 1.0, 1.0, 0.1]


def test_losses_in_lists_and_with_num_classes():
    base = ConfigDict(
        decode_head=dict(
            num_classes=3,
            out_channels=3,
            loss_decode=[dict(type='DiceLoss'), dict(class_weight=[1.0, 1.0, 1.0])],
        ),
        roi_head=dict(bbox_head=[dict(num_classes=3, loss_cls=dict(num_classes=3))]),
        data_preprocessor=dict(blending=dict(augments=[dict(type='Mixup', num_classes=400)])),
    )
    changed = set_num_classes(base, 2)
    assert changed.decode_head.loss_decode[1].class_weight == [1.0, 1.0]
    assert changed.decode_head.out_channels == 2
    assert changed.roi_head.bbox_head[0] == dict(num_classes=2, loss_cls=dict(num_classes=2))
    assert changed.data_preprocessor.blending.augments[0].num_classes == 2


@pytest.mark.parametrize(
    'loss, message',
    [
        (dict(class_weight=[1.0, 2.0, 1.0]), r'decode_head\.loss_cls\.class_weight has 3 .* 3 cla'),
        (dict(class_weight=[1.0] * 7), 'class_weight has 7 weights for 3 classes, and 5 are'),
    ],
)
def test_ambiguous_weights(loss, message):
    with pytest.raises(ConfigError, match=message):
        set_num_classes(model(loss), 5)


def test_one_channel_is_for_two_classes():
    base = ConfigDict(decode_head=dict(num_classes=2, out_channels=1))
    assert set_num_classes(base, 2) == base
    with pytest.raises(ConfigError, match=r'decode_head\.out_channels=1 separates two classes'):
        set_num_classes(base, 3)


def test_the_weights_of_a_config_are_checked():
    head = dict(num_classes=19, loss_decode=[dict(), dict(class_weight=[1.0] * 150)])
    message = r'model\.decode_head\.loss_decode\.1\.class_weight has 150 weights, but .*=19; .* 20'
    with pytest.raises(ConfigError, match=message):
        check_class_weights('model.decode_head', head)


def test_mask2former_of_mmdet(tmp_path):
    pytest.importorskip('mmdet')
    text = "_base_ = 'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco{}.py'"
    (tmp_path / 'things.py').write_text(text.format(''))
    changed = set_num_classes(Config.fromfile(tmp_path / 'things.py').model, 3)
    assert changed.panoptic_head.num_things_classes == 3
    assert changed.panoptic_fusion_head.num_things_classes == 3
    assert changed.panoptic_head.loss_cls.class_weight == [1.0, 1.0, 1.0, 0.1]
    (tmp_path / 'panoptic.py').write_text(text.format('-panoptic'))
    with pytest.raises(ConfigError, match='num_stuff_classes=53: set both by hand'):
        set_num_classes(Config.fromfile(tmp_path / 'panoptic.py').model, 3)


def test_mask2former_of_mmseg(tmp_path):
    pytest.importorskip('mmseg')
    text = "_base_ = 'mmseg::mask2former/mask2former_r50_8xb2-160k_ade20k-512x512.py'"
    (tmp_path / 'base.py').write_text(text)
    changed = set_num_classes(Config.fromfile(tmp_path / 'base.py').model, 2)
    assert changed.decode_head.num_classes == 2
    assert changed.decode_head.loss_cls.class_weight == [1.0, 1.0, 0.1]
