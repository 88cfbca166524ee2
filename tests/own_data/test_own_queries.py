"""The configs of docs/detr.md for your own data."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from commands import ROOT
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

for library in ('mmdet', 'mmseg'):
    pytest.importorskip(library)
from swinv2_dense.errors import ConfigError  # noqa: E402
from swinv2_dense.own_data import model_of  # noqa: E402

PAGE = (ROOT / 'docs/detr.md').read_text()
INSTANCE, SEMANTIC = re.findall(r'```python\n(.*?)```', PAGE, re.S)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    names = ('apple', 'pear', 'plum')
    (tmp_path / 'annotations').mkdir()
    categories = [dict(id=i, name=name) for i, name in enumerate(names)]
    coco = dict(images=[], annotations=[], categories=categories)
    (tmp_path / 'annotations/train.json').write_text(json.dumps(coco))
    (tmp_path / 'classes.txt').write_text('\n'.join(names))
    monkeypatch.setenv('OWN_DATA', str(tmp_path))
    return tmp_path


def test_masks(folder):
    (folder / 'own.py').write_text(INSTANCE)
    cfg = Config.fromfile(folder / 'own.py')
    head = cfg.model.panoptic_head
    assert (head.num_things_classes, head.num_stuff_classes) == (3, 0)
    assert cfg.model.panoptic_fusion_head.num_things_classes == 3
    assert head.loss_cls.class_weight == [1.0, 1.0, 1.0, 0.1]
    assert cfg.optim_wrapper.clip_grad.max_norm == 0.01
    cfg.dump(folder / 'written.py')
    assert Config.fromfile(folder / 'written.py').to_dict() == cfg.to_dict()


def test_semantic_maps(folder):
    (folder / 'own.py').write_text(SEMANTIC)
    cfg = Config.fromfile(folder / 'own.py')
    head = cfg.model.decode_head
    assert head.num_classes == 3
    assert head.loss_cls.class_weight == [1.0, 1.0, 1.0, 0.1]
    cfg.model.backbone.update(
        init_cfg=None, arch=dict(embed_dims=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 4))
    )
    head.in_channels = [8, 16, 32, 64]
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(cfg.model)
    assert model.decode_head.cls_embed.out_features == 4


def test_a_config_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(ConfigError, match='no_such.py'):
        model_of(str(tmp_path / 'no_such.py'))
