"""The recipes of docs/recipes.md, at the end of the configs of docs/own_boxes.md and others."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import ROOT, run_here
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, DefaultScope
from narrow import narrow_model

pytest.importorskip('mmdet')

from coco_tree import write_tree  # noqa: E402

from swinv2_dense.cli.common import check_config  # noqa: E402
from swinv2_dense.errors import ConfigError  # noqa: E402

PAGE = (ROOT / 'docs/recipes.md').read_text()
BOXES = re.findall(r'```python\n(.*?)```', (ROOT / 'docs/own_boxes.md').read_text(), re.S)[0]
CLASSES = ('apple', 'pear')


def recipe(title: str, index: int = 0) -> str:
    section = PAGE.partition(f'\n## {title}\n')[2].partition('\n## ')[0]
    return re.findall(r'```python\n(.*?)```', section, re.S)[index]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve images: the last of training has no object, and pears are only in the first."""
    root = write_tree(tmp_path / 'data', CLASSES, num_images=12)
    path = root / 'annotations/train.json'
    coco = json.loads(path.read_text())
    for annotation in coco['annotations']:
        annotation['category_id'] = 2 if annotation['image_id'] == 0 else 1
    coco['annotations'] = [a for a in coco['annotations'] if a['image_id'] != 11]
    path.write_text(json.dumps(coco))
    monkeypatch.setenv('OWN_DATA', str(root))
    return root


def load(folder: Path, text: str) -> Config:
    (folder / 'own.py').write_text(BOXES + text)
    return Config.fromfile(folder / 'own.py')


def build_dataset(cfg: Config) -> object:
    with DefaultScope.overwrite_default_scope('mmdet'):
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
        dataset.full_init()
        return dataset


def images_of(dataset: object) -> list[str]:
    return [Path(dataset.get_data_info(i)['img_path']).stem[-2:] for i in range(len(dataset))]


def test_rare_classes_are_repeated(data, tmp_path):
    cfg = load(tmp_path, recipe('Rare classes'))
    cfg.train_dataloader.dataset.oversample_thr = 0.36
    check_config(cfg, ('train',))
    dataset = build_dataset(cfg)
    counts = Counter(dataset.repeat_indices)
    # One of 11 images has pears: sqrt(0.36 x 11) = 1.99, rounded up; apples are in 10 of 11.
    assert counts == {0: 2, **dict.fromkeys(range(1, 11), 1)}


def test_class_weights_of_a_segmentor(tmp_path):
    pytest.importorskip('mmseg')
    from mmseg.registry import MODELS as SEG

    (tmp_path / 'seg.py').write_text(f"""
_base_ = {str(ROOT / 'configs/_base_/models/upernet.py')!r}
model = __import__('swinv2_dense').own_data.set_num_classes(_base_.model, 3)
{recipe('Rare classes', 1)}""")
    model = Config.fromfile(tmp_path / 'seg.py').model
    for head in (model.decode_head, model.auxiliary_head):
        with DefaultScope.overwrite_default_scope('mmseg'):
            loss = SEG.build(head.loss_decode)
        logits, labels = torch.randn(1, 3, 1, 3), torch.tensor([[[0, 1, 2]]])
        each = [-logits.log_softmax(1)[0, i, 0, i].item() for i in range(3)]
        expected = head.loss_decode.loss_weight * np.average(each, weights=[0.5, 1, 3])
        assert float(loss(logits, labels, ignore_index=255)) == pytest.approx(expected, rel=1e-5)


def test_several_datasets(data, tmp_path):
    coco = json.loads((data / 'annotations/train.json').read_text())
    coco['images'], coco['annotations'] = coco['images'][:3], coco['annotations'][:6]
    (data / 'annotations/more.json').write_text(json.dumps(coco))
    cfg = load(tmp_path, recipe('Several datasets in one training'))
    check_config(cfg, ('train',))
    dataset = build_dataset(cfg)
    assert len(dataset) == 11 + 3
    coco['categories'].reverse()
    (data / 'annotations/more.json').write_text(json.dumps(coco))
    with pytest.raises(ConfigError, match='more.json lists pear, apple'):
        check_config(cfg, ('train',))


def test_images_without_objects(data, tmp_path):
    assert '11' not in images_of(build_dataset(load(tmp_path, '')))
    dataset = build_dataset(load(tmp_path, recipe('Images without objects')))
    assert images_of(dataset)[-1] == '11' and len(dataset) == 12
    with DefaultScope.overwrite_default_scope('mmdet'):
        assert len(dataset[11]['data_samples'].gt_instances) == 0


def test_frozen_stages(data, tmp_path):
    cfg = load(tmp_path, recipe('Freezing stages'))
    narrow_model(cfg.model)
    with DefaultScope.overwrite_default_scope('mmdet'):
        backbone = MODELS.build(cfg.model.backbone)
    learning = {n.split('.')[0] + '.' + n.split('.')[1] for n, p in backbone.named_parameters()
                if p.requires_grad}  # fmt: skip
    assert {name for name in learning if name.startswith(('patch', 'layers'))} == {
        *('layers.2', 'layers.3'),
    }


@pytest.mark.slow
def test_a_small_model_on_a_cpu_with_the_best_checkpoint(data, tmp_path):
    cfg = load(tmp_path, recipe('A small model on a CPU') + recipe('Images without objects'))
    assert cfg.model.backbone.arch.embed_dims == 48
    for name in ('train', 'val', 'test'):
        cfg[f'{name}_dataloader'].update(num_workers=0, persistent_workers=False)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        for step in loader.dataset.pipeline:
            if 'Resize' in step.type:
                step.update(type='Resize', scale=(96, 72))
    cfg.val_dataloader.dataset.indices = 2
    cfg.model.roi_head.bbox_head.fc_out_channels = 64
    cfg.model.train_cfg.rcnn.sampler.num = 32
    cfg.model.train_cfg.rpn_proposal.max_per_img = cfg.model.test_cfg.rpn.max_per_img = 50
    cfg.train_cfg.max_epochs = 6
    cfg.optim_wrapper.optimizer.lr = 0.0  # nothing improves
    cfg.dump(tmp_path / 'small.py')
    work = tmp_path / 'work'
    shutil.copy(data / 'annotations/train.json', data / 'annotations/val.json')
    args = ['--work-dir', work, '--save-best', '--early-stop', '2']
    result = run_here('train', tmp_path / 'small.py', *args)
    assert result.returncode == 0, result.stderr[-2000:]
    assert len(list(work.glob('best_coco_bbox_mAP_epoch_*.pth'))) == 1
    epochs = sorted(path.name for path in work.glob('epoch_*.pth'))
    assert epochs[-1] == 'epoch_3.pth', epochs  # the first, and two without improvement
