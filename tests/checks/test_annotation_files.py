"""Annotation files of detection configs are checked before the first step."""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from coco_files import (
    changed,
    config,
    content,
    dataset,
    every,
    from_0,
    one,
    write,
    write_images,
)
from mmengine.config import Config, ConfigDict
from mmengine.registry import DATASETS, METRICS, DefaultScope

pytest.importorskip('mmdet')

from swinv2_dense.checks import coco_check
from swinv2_dense.checks.coco_report import Use
from swinv2_dense.checks.result_cache import cached
from swinv2_dense.cli import browse_dataset as browsing
from swinv2_dense.cli.common import check_config
from swinv2_dense.det.annotation_files import check_annotation_files, repair_runner, use_repaired
from swinv2_dense.errors import ConfigError

LOADERS = ('train', 'val')


@pytest.fixture(autouse=True)
def within_mmdet(scope) -> Iterator[None]:
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


@pytest.fixture
def root(tmp_path) -> Path:
    for split, start in (('train', 0), ('val', 20)):
        write_images(tmp_path / split, start)
        write(tmp_path / f'{split}.json', content(start))
    return tmp_path


def told(cfg: ConfigDict) -> tuple[list[str], list[str]]:
    logged, warned = [], []
    use_repaired(cfg, LOADERS, logged.append, warned.append)
    return logged, warned


# ------------------------------------------------------------------------------- before a run


def test_numbers_of_objects_are_always_logged(root):
    logged, warned = told(config(root))
    assert logged == [
        f'{key}: 24 of 24 objects kept, in 6 of 6 images ({root}/{split}.json)'
        for key, split in (
            ('train_dataloader.dataset', 'train'),
            ('val_dataloader.dataset', 'val'),
        )
    ]
    assert not warned


@pytest.mark.parametrize('wrapped', ['', 'RepeatDataset', 'ConcatDataset'])
def test_an_error_is_reported_in_one_line(root, wrapped):
    write(root / 'train.json', changed(every(bbox=[10, 10, 0.5, 0.5])))
    inner = dataset(root, 'train')
    datasets = {
        '': (inner, ''),
        'RepeatDataset': (dict(type=wrapped, times=2, dataset=inner), '.dataset'),
        'ConcatDataset': (dict(type=wrapped, datasets=[inner]), '.datasets[0]'),
    }
    given, key = datasets[wrapped]
    cfg = config(root, train_dataloader=dict(dataset=given))
    with pytest.raises(ConfigError) as error:
        check_config(cfg, LOADERS)
    assert str(error.value) == (
        f"train_dataloader.dataset{key}.ann_file='{root}/train.json': 24 of 24 objects are "
        'dropped (24 less than a pixel wide or high), more than 10%, first annotation 1; fix them, '
        'or remove them from the file'
    )
    check_config(cfg, ('val',))


def test_a_metric_with_its_own_file(root):
    write(root / 'other.json', changed(one(category_id=9)))
    metric = dict(type='CocoMetric', ann_file=str(root / 'other.json'), metric='bbox')
    cfg = config(root, val_evaluator=[dict(type='VOCMetric'), metric])
    with pytest.raises(ConfigError, match=r'val_evaluator\[1\]\.ann_file=.*category_id 9'):
        check_config(cfg, LOADERS)
    metric['format_only'] = True
    coco = content(20)
    del coco['annotations']
    write(root / 'val.json', coco)
    metric['ann_file'] = str(root / 'val.json')
    check_config(config(root, val_evaluator=metric), LOADERS)


def test_a_metric_with_the_file_of_other_images(root):
    """Their ids are the same, because each file counts from 1: AP of boxes on other images."""
    coco = content()
    for image in coco['images']:
        image['file_name'] = f'2{image["file_name"]}'
    write(root / 'val.json', coco)
    cfg = config(root)
    check_config(cfg, LOADERS)
    cfg.val_evaluator.ann_file = str(root / 'train.json')
    with pytest.raises(ConfigError, match=r"val_evaluator.*: image 1 is '0.jpg', and '20.jpg' in"):
        check_config(cfg, LOADERS)
    write(root / 'val.json', content(20))
    with pytest.raises(ConfigError, match='it has no image with id 21, which is .20.jpg'):
        check_config(cfg, LOADERS)


def test_evaluation_without_objects_is_an_error(root):
    """AP would be -1."""
    write(root / 'val.json', dict(content(20), annotations=[]))
    with pytest.raises(ConfigError, match='none is kept: .*AP would be -1'):
        check_config(config(root), LOADERS)
    coco = content(20)
    del coco['annotations']
    write(root / 'val.json', coco)
    with pytest.raises(ConfigError, match=r"has no list 'annotations'.*AP is -1"):
        check_config(config(root), LOADERS)


# ------------------------------------------------------------------------- repaired copies


def perfect_ap(cfg: ConfigDict) -> dict[str, float]:
    """AP of the ground truth as predictions, by the dataset's metric."""
    with contextlib.redirect_stdout(io.StringIO()):
        data = DATASETS.build(cfg.val_dataloader.dataset)
        metric = METRICS.build(cfg.val_evaluator)
        metric.dataset_meta = data.metainfo
        for i in range(len(data)):
            sample = data[i]['data_samples']
            true = sample.gt_instances
            found = dict(
                bboxes=true.bboxes.tensor,
                labels=true.labels,
                scores=torch.ones(len(true)),
                masks=torch.from_numpy(true.masks.to_ndarray()).bool(),
            )
            metric.process({}, [dict(sample.to_dict(), pred_instances=found)])
        return metric.evaluate(len(data))


def short(coco: dict) -> None:
    coco['annotations'][3]['segmentation'] = [[1, 2, 3, 4]]


SPOILED = {
    'ids from 0': from_0,
    'no iscrowd': every(iscrowd=None),
    'short polygons': short,
    'ids twice': every(id=1),
    'text': every(area='900', category_id=lambda a: str(a['category_id'])),
}


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('case', SPOILED)
def test_perfect_predictions_have_ap_1(root, case):
    write(root / 'val.json', changed(SPOILED[case], 20))
    cfg = config(root)
    _, warned = told(cfg)
    assert len(warned) == 1
    assert f"val_dataloader.dataset.ann_file='{root}/val.json': " in warned[0]
    assert cfg.val_dataloader.dataset.ann_file == cfg.val_evaluator.ann_file
    assert f'read from the repaired copy {cfg.val_evaluator.ann_file}' in warned[0]
    ap = perfect_ap(cfg)
    assert ap['coco/bbox_mAP'] == ap['coco/segm_mAP'] == 1.0


@pytest.mark.filterwarnings('ignore')
def test_id_0_breaks_the_evaluation(root):
    coco = content(20)
    coco['annotations'] = [dict(coco['annotations'][0], id=0)]
    write(root / 'val.json', coco)
    assert perfect_ap(config(root))['coco/bbox_mAP'] == 0.0  # of pycocotools, unrepaired
    cfg = config(root)
    told(cfg)
    assert perfect_ap(cfg)['coco/bbox_mAP'] == 1.0


def test_a_runner_reads_the_copy_and_its_config_keeps_the_name(root):
    """Like tools/test.py and tools/train.py, before the loops are built."""
    from mmengine.runner import Runner

    write(root / 'val.json', changed(from_0, 20))
    cfg = config(root)
    runner = Runner(
        model=dict(type='mmengine.BaseModel') | dict(type=ToyModel),
        work_dir=str(root / 'work'),
        test_dataloader=dict(
            batch_size=1, sampler=dict(type='DefaultSampler'), dataset=cfg.val_dataloader.dataset
        ),
        test_evaluator=cfg.val_evaluator,
        test_cfg=dict(),
        default_scope='mmdet',
        experiment_name=root.name,
        log_level='WARNING',
    )
    repair_runner(runner, ('test',))
    with contextlib.redirect_stdout(io.StringIO()):
        loop = runner.build_test_loop(runner._test_loop)
    assert loop.dataloader.dataset.ann_file.endswith('-repaired.json')
    (metric,) = loop.evaluator.metrics
    assert 0 not in metric._coco_api.anns
    assert '-repaired.json' not in runner.cfg.pretty_text


class ToyModel(torch.nn.Module):
    pass


# --------------------------------------------------------------------- images in both splits


@pytest.mark.parametrize('kind', ['link', 'copy', 'folder'])
def test_an_image_in_training_and_evaluation_is_an_error(root, kind):
    (root / 'val' / '22.jpg').unlink()
    if kind == 'link':
        (root / 'val' / '22.jpg').symlink_to(root / 'train' / '3.jpg')
    elif kind == 'copy':
        shutil.copy(root / 'train' / '3.jpg', root / 'val' / '22.jpg')
    else:
        coco = content(20)
        coco['images'][2]['file_name'] = '../train/3.jpg'
        write(root / 'val.json', coco)
    with pytest.raises(ConfigError) as error:
        check_config(config(root), LOADERS)
    message = str(error.value)
    assert message.startswith(f"val_dataloader.dataset.ann_file='{root}/val.json': 1 of 6 images")
    assert f'{root}/train/3.jpg' in message
    assert 'remove them from one of the two files' in message


def test_training_and_evaluation_on_the_same_file_is_noted(root):
    """To see whether a model can learn at all."""
    cfg = config(root, val_dataloader=dict(dataset=dataset(root, 'train', test_mode=True)))
    cfg.val_evaluator.ann_file = str(root / 'train.json')
    _, warned = told(cfg)
    (line,) = warned
    assert line.startswith('val_dataloader.dataset.ann_file=')
    assert 'has the same annotations and images: 6 of 6' in line


# -------------------------------------------------------------------------- what is kept


def test_a_restart_uses_the_cache(root, monkeypatch):
    write(root / 'val.json', changed(from_0, 20))
    first = check_annotation_files(config(root), LOADERS)

    def refuse(*_: Any) -> None:
        raise AssertionError('read again')

    monkeypatch.setattr(coco_check, 'read_coco_file', refuse)
    monkeypatch.setattr(coco_check, 'shared_images', refuse)
    assert check_annotation_files(config(root), LOADERS) == first
    os.unlink(first[1][1].copy)
    with pytest.raises(AssertionError):  # a copy that is gone is written again
        check_annotation_files(config(root), LOADERS)
    monkeypatch.undo()
    assert check_annotation_files(config(root), LOADERS) == first
    assert os.path.isfile(first[1][1].copy)


def test_an_error_fixed_in_the_images_is_gone(root):
    import cv2

    cv2.imwrite(str(root / 'train' / '1.jpg'), np.zeros((10, 10, 3), np.uint8))
    with pytest.raises(ConfigError, match=r"'1\.jpg': 96 x 64 in the file, 10 x 10 as loaded"):
        check_config(config(root), LOADERS)
    write_images(root / 'train')
    check_config(config(root), LOADERS)


def _count(folder: str, key: str) -> None:
    def compute() -> dict:
        (Path(folder) / str(os.getpid())).touch()
        import time

        time.sleep(0.5)
        return dict(errors=['one'])

    found = cached(key, compute, lambda result: not result['errors'])
    (Path(folder) / f'{os.getpid()}.found').write_text(found['errors'][0])


def test_one_process_checks_and_all_get_its_error(tmp_path):
    fork = multiprocessing.get_context('fork')
    ranks = [fork.Process(target=_count, args=(str(tmp_path), 'together')) for _ in range(3)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join()
    assert [rank.exitcode for rank in ranks] == [0, 0, 0]
    assert len([path for path in tmp_path.iterdir() if not path.suffix]) == 1
    assert [path.read_text() for path in tmp_path.glob('*.found')] == ['one'] * 3


def test_an_unwritable_cache_is_not_an_error(root, monkeypatch):
    (root / 'file').touch()
    monkeypatch.setenv('SWINV2_DENSE_CACHE', str(root / 'file' / 'below'))
    monkeypatch.setattr('tempfile.tempdir', str(root))
    write(root / 'val.json', changed(from_0, 20))
    told(config(root))


# --------------------------------------------------------------------------------- pictures


def test_browsing_runs_the_same_checks(root, capsys):
    cfg = config(root)
    cfg.train_dataloader.dataset.pop('serialize_data')
    write(root / 'train.json', changed(every(segmentation=None)))
    with pytest.raises(ConfigError, match='24 of 24 objects have no segmentation, first annot'):
        browsing.build_dataset(Config(cfg), 'train')
    write(root / 'train.json', changed(every(area='900')))
    built = browsing.build_dataset(Config(config(root)), 'train')
    assert sum(len(built.get_data_info(i)['instances']) for i in range(len(built))) == 24
    assert 'train_dataloader.dataset: 24 of 24 objects kept' in capsys.readouterr().out


def test_browsing_reports_label_maps_in_colors(tmp_path):
    pytest.importorskip('mmseg')
    import cv2

    write_images(tmp_path / 'images' / 'training')
    (tmp_path / 'annotations' / 'training').mkdir(parents=True)
    for i in range(6):
        painted = np.full((64, 96, 3), (0, 0, 200), np.uint8)
        cv2.imwrite(str(tmp_path / 'annotations' / 'training' / f'{i}.png'), painted)
    (tmp_path / 'seg.py').write_text(
        "_base_ = 'mmseg::_base_/datasets/ade20k.py'\ndefault_scope = 'mmseg'\n"
        f'train_dataloader = dict(dataset=dict(data_root={str(tmp_path)!r}))\n'
    )
    told = pytest.raises(ConfigError, match='6 label maps contain colors instead of class ids')
    with DefaultScope.overwrite_default_scope('mmseg'), told:
        browsing.build_dataset(Config.fromfile(tmp_path / 'seg.py'), 'train')


@pytest.mark.parametrize('name', ['quickstart', 'objects365'])
def test_generated_data_passes(tmp_path, name):
    if name == 'quickstart':
        from swinv2_dense.quickstart.shapes import ShapesSpec, write_dataset

        write_dataset(tmp_path / 'shapes', ShapesSpec(size=64, train=4, val=2))
        path = tmp_path / 'shapes' / 'annotations' / 'instances_train.json'
        use = Use(is_evaluated=True, with_masks=True, folder=str(tmp_path / 'shapes' / 'train'))
    else:
        from coco_tree import write_tree
        from mmdet.datasets import Objects365V2Dataset

        write_tree(tmp_path, Objects365V2Dataset.METAINFO['classes'])
        path = tmp_path / 'annotations' / 'train.json'
        use = Use(is_evaluated=True, folder=str(tmp_path / 'train'), depth=2)
    result = coco_check.check_annotation_file(str(path), use._replace(is_rotated=True))
    assert not result.errors + result.repairs
    listed = json.loads(path.read_text())['annotations']
    assert result.kept == result.listed == len(listed) > 0


def test_other_datasets_are_not_checked(root):
    """Remote files, and datasets with their own loading code."""
    (root / 'train.json').write_text('no JSON')
    for changes in (dict(type='LVISV1Dataset'), dict(backend_args=dict(backend='petrel'))):
        cfg = config(root, train_dataloader=dict(dataset=dataset(root, 'train', **changes)))
        assert len(check_annotation_files(cfg, ('train',))) == 0
    cfg = config(root)
    assert check_annotation_files(cfg, ('val',))
