"""The generated dataset, its annotations, and the quickstart from end to end."""

import filecmp
import json
import math
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import ROOT
from mmengine.config import Config
from pycocotools.coco import COCO

from swinv2_dense.quickstart import shapes
from swinv2_dense.quickstart.examples import EXAMPLES
from swinv2_dense.quickstart.shapes import CLASSES, Scene, Shape, ShapesSpec, Texture

SPEC = ShapesSpec(seed=3, size=96, train=7, val=3)


@pytest.fixture(scope='module')
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('data') / 'shapes'
    assert shapes.write_dataset(root, SPEC)
    return root


def files(root: Path) -> list[Path]:
    return sorted(path.relative_to(root) for path in root.rglob('*') if path.is_file())


def edge_distance(shape: Shape, size: int) -> np.ndarray:
    """Pixels from every pixel center to the edge of the shape, negative inside.

    From formulas for each class, independent of the generator's polygons.
    """
    y, x = np.mgrid[:size, :size]
    dx, dy = (x - shape.center[0]) / shape.radius, (y - shape.center[1]) / shape.radius
    cos, sin = math.cos(shape.angle), math.sin(shape.angle)
    u, v = cos * dx + sin * dy, cos * dy - sin * dx
    r, turn = np.hypot(u, v), np.arctan2(u, -v)  # turn 0 is up

    def regular(corners: int, offset: float) -> np.ndarray:
        # Signed distance to the nearest side of a regular polygon with circumradius 1.
        half = math.pi / corners
        angle = (turn - offset) % (2 * half) - half
        return r * np.cos(angle) - math.cos(half)

    def star() -> np.ndarray:
        # A straight side runs from a tip (radius 1, turn 0) to a notch (radius 0.42, turn pi/5).
        fold = np.abs((turn + math.pi / 5) % (2 * math.pi / 5) - math.pi / 5)
        px, py = r * np.cos(fold), r * np.sin(fold)
        qx, qy = 0.42 * math.cos(math.pi / 5), 0.42 * math.sin(math.pi / 5)
        normal = np.array([qy, 1 - qx]) / math.hypot(qy, 1 - qx)
        return (px - 1) * normal[0] + py * normal[1]

    long, arm = 1 / math.hypot(1, 0.36), 0.36 / math.hypot(1, 0.36)
    bars = [np.maximum(abs(u) - a, abs(v) - b) for a, b in [(long, arm), (arm, long)]]
    return (
        shape.radius
        * {
            'disc': lambda: r - 0.85,
            'ring': lambda: np.maximum(r - 0.9, 0.5 - r),
            'square': lambda: regular(4, math.pi / 4),
            'triangle': lambda: regular(3, 0.0),
            'star': star,
            'cross': lambda: np.minimum(*bars),
        }[CLASSES[shape.category]]()
    )


def test_equal_specs_give_equal_files(dataset: Path, tmp_path: Path) -> None:
    shapes.write_dataset(tmp_path / 'again', SPEC)
    assert files(dataset) == files(tmp_path / 'again')
    for name in files(dataset):
        assert filecmp.cmp(dataset / name, tmp_path / 'again' / name, shallow=False), name


def test_seed_split_and_index_give_different_images(dataset: Path) -> None:
    images = [cv2.imread(str(dataset / s / '000000.png')) for s in ('train', 'val')]
    images += [cv2.imread(str(dataset / 'train' / '000001.png'))]
    images += [shapes.draw_scene(shapes.scene_of(replace(SPEC, seed=4), 'train', 0))[0]]
    for k, image in enumerate(images):
        assert all((image != other).any() for other in images[k + 1 :])


@pytest.mark.parametrize('split', ['train', 'val'])
def test_annotations_agree_with_the_scenes(dataset: Path, split: str) -> None:
    coco = COCO(dataset / 'annotations' / f'instances_{split}.json')
    assert [c['name'] for c in coco.loadCats(coco.getCatIds())] == list(CLASSES)
    assert len(coco.imgs) == getattr(SPEC, split)
    for image_id, image in coco.imgs.items():
        file = dataset / split / image['file_name']
        assert cv2.imread(str(file)).shape == (image['height'], image['width'], 3)
        annotations = coco.loadAnns(coco.getAnnIds(image_id))
        masks = [coco.annToMask(a).astype(bool) for a in annotations]
        assert np.sum(masks, axis=0).max() <= 1, 'visible masks never overlap'
        for annotation, mask in zip(annotations, masks):
            ys, xs = np.nonzero(mask)
            box = [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
            assert annotation['bbox'] == box
            assert annotation['area'] == mask.sum()
            assert annotation['iscrowd'] == 0

        # Paint the scene again, front to back, and compare all pixels except edges.
        scene = shapes.scene_of(SPEC, split, image_id)
        taken, edges = np.zeros((2, SPEC.size, SPEC.size), bool)
        for shape in reversed(scene.shapes):
            distance = edge_distance(shape, scene.size)
            inner = distance < 0
            visible = inner & ~taken
            if visible.sum() < max(shapes.MIN_PIXELS, shapes.MIN_VISIBLE * inner.sum()):
                continue
            taken, edges = taken | inner, edges | (np.abs(distance) < 1)
            annotation, mask = annotations.pop(), masks.pop()
            assert annotation['category_id'] == shape.category + 1
            assert np.array_equal(mask & ~edges, visible & ~edges), file
        assert not annotations


@pytest.mark.parametrize('split', ['train', 'val'])
def test_semantic_maps_agree_with_the_annotations(dataset: Path, split: str) -> None:
    coco = COCO(dataset / 'annotations' / f'instances_{split}.json')
    for image_id, image in coco.imgs.items():
        file = dataset / 'stuffthingmaps' / split / image['file_name']
        labels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        assert labels.dtype == np.uint8 and labels.shape == (image['height'], image['width'])
        # COCO-stuff's rule: a pixel of a thing has its category id - 1.
        background = np.ones(labels.shape, bool)
        for annotation in coco.loadAnns(coco.getAnnIds(image_id)):
            mask = coco.annToMask(annotation).astype(bool)
            assert (labels[mask] == annotation['category_id'] - 1).all()
            background &= ~mask
        kind = shapes.scene_of(SPEC, split, image_id).background.kind
        assert background.any()
        assert (labels[background] == ['stripes', 'checks', 'dots', 'clouds'].index(kind) + 6).all()


def test_hidden_shapes_are_left_out() -> None:
    texture = Texture('stripes', np.array([[10.0] * 3, [200.0] * 3]), 0.0, 5.0)
    square, ring = CLASSES.index('square'), CLASSES.index('ring')
    below = Shape(square, (30, 31), 10.0, 0.3, texture)
    beside = Shape(ring, (70, 67), 20.0, 0.0, texture)
    above = Shape(square, (30, 31), 20.0, 0.0, texture)
    scene = Scene(97, texture, (below, beside, above), (0.0, 0.0), 5)
    image, instances = shapes.draw_scene(scene)
    assert [i.category for i in instances] == [ring, square]
    assert not instances[0].mask[67, 70], 'a ring has a hole'
    labels = shapes.semantic_map(scene, instances)
    assert labels[31, 30] == square and labels[67, 70] == len(CLASSES), 'stripes seen through it'
    alone, _ = shapes.draw_scene(replace(scene, shapes=(beside, above)))
    assert np.array_equal(image, alone)


def test_reuse_and_refusal(dataset: Path) -> None:
    before = {name: (dataset / name).stat().st_mtime_ns for name in files(dataset)}
    assert not shapes.write_dataset(dataset, SPEC)
    with pytest.raises(ValueError, match=r'seed is 3 there, 4 here.*Delete'):
        shapes.write_dataset(dataset, replace(SPEC, seed=4))
    assert before == {name: (dataset / name).stat().st_mtime_ns for name in files(dataset)}


def test_foreign_and_incomplete_folders_are_refused(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / 'notes.txt').write_text('mine')
    with pytest.raises(ValueError, match='instances_train.json is missing'):
        shapes.write_dataset(tmp_path, SPEC)
    shapes.write_dataset(tmp_path / 'set', SPEC)
    (tmp_path / 'set' / 'val' / '000001.png').unlink()
    with pytest.raises(ValueError, match='2 of 3 images'):
        shapes.write_dataset(tmp_path / 'set', SPEC)


def test_sets_without_semantic_maps_are_refused(dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset, tmp_path / 'set')
    (tmp_path / 'set' / 'stuffthingmaps' / 'train' / '000002.png').unlink()
    with pytest.raises(ValueError, match=r'stuffthingmaps/train: 6 of 7 semantic maps. Delete'):
        shapes.write_dataset(tmp_path / 'set', SPEC)
    file = tmp_path / 'set' / 'annotations' / 'instances_train.json'
    content = json.loads(file.read_text())
    content['info']['version'] = 1  # wrote no maps
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r'version is 1 there, 2 here. Delete'):
        shapes.write_dataset(tmp_path / 'set', SPEC)


def test_interruptions_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cv2, 'imwrite', interrupt)
    with pytest.raises(KeyboardInterrupt):
        shapes.write_dataset(tmp_path / 'shapes', SPEC)
    assert list(tmp_path.iterdir()) == []


def test_class_is_independent_of_color_and_scale() -> None:
    scenes = [shapes.scene_of(SPEC, 'train', k) for k in range(400)]
    drawn = [s for scene in scenes for s in scene.shapes]
    for category in range(len(CLASSES)):
        own = [s for s in drawn if s.category == category]
        for value in (lambda s: s.texture.colors[0].mean(), lambda s: s.radius, lambda s: s.angle):
            everyone, mine = np.array([value(s) for s in drawn]), np.array([value(s) for s in own])
            error = everyone.std() / math.sqrt(len(mine))
            assert abs(mine.mean() - everyone.mean()) < 4 * error


def quickstart(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / 'tools' / 'quickstart.py'), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.slow
def test_a_short_quickstart(tmp_path: Path) -> None:
    """All tasks, one after the other."""
    work_dir = tmp_path / 'work'
    done = quickstart(
        *('--work-dir', work_dir, '--data-root', tmp_path / 'data', '--target', 0.0),
        *('--train-samples', 8, '--val-samples', 4, '--cfg-options', 'train_cfg.val_interval=2'),
        *('train_cfg.max_iters=4', 'train_dataloader.batch_size=2'),
        *(
            'default_hooks.logger.interval=1',
            'param_scheduler.0.end=1',
            'param_scheduler.1.begin=1',
        ),
        *(f'{split}_dataloader.num_workers=0' for split in ('train', 'val', 'test')),
        *(f'{split}_dataloader.persistent_workers=False' for split in ('train', 'val', 'test')),
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for model, metric in (
        ('HTC++', 'box and mask AP50'),
        ('UperNet', 'mIoU'),
        ('I3D head', 'top-1, forwards and backwards'),
    ):
        assert f'Model: {model}' in done.stdout
        assert f'Reached the target of 0.00 for {metric}' in done.stdout
    assert re.search(r'on unseen data: mIoU 0\.\d+, accuracy 0\.\d+', done.stdout)
    assert re.search(r'on unseen data: top-1 [01]\.\d+', done.stdout)
    assert '8 training and 4 validation clips of moving shapes' in done.stdout
    assert done.stdout.count('Next:') == 3
    for part in done.stdout.split('Next:')[1:]:
        named = re.findall(r'\S+\.py', part[: part.index('\n\n')])
        assert 'tools/train.py' in named and all((ROOT / name).is_file() for name in named), named
    assert 'loss_semantic_seg: ' in (work_dir / 'detection' / 'train.log').read_text()
    for task in ('detection', 'segmentation', 'video'):
        confusion = ['confusion.png'] if task == 'video' else []
        for name in ('predictions.png', 'curves.png', *confusion):
            image = cv2.imread(str(work_dir / task / name))
            assert min(image.shape[:2]) > 300 and image.std() > 20, f'{task}/{name} is empty'
        assert (work_dir / task / 'iter_4.pth').is_file()
        record = json.loads((work_dir / task / 'results.json').read_text())
        assert record['reached'] and record['target'] == 0 and record['seconds'] > 0
        assert record['figures'] == EXAMPLES[task].figures(record['metrics'])
    rows = re.findall(
        r'^(in order|shuffled|backwards) +([01]\.\d+) +([01]\.\d+)', done.stdout, re.M
    )
    for (row, *shown), folder in zip(rows, ('test', 'shuffled', 'reversed'), strict=True):
        written = json.loads((work_dir / 'video' / folder / 'predictions.json').read_text())
        truth, found = np.array(written['labels']), np.argmax(written['scores'], axis=1)
        right = np.mean(found == truth), np.mean(found // 2 == truth // 2)
        assert np.allclose([float(value) for value in shown], right, atol=1e-3), row


@pytest.mark.slow
def test_a_short_pretraining(tmp_path: Path) -> None:
    """SimMIM, and UperNet with and without it; not among the default tasks."""
    work_dir = tmp_path / 'work'
    loaders = [f'{split}_dataloader' for split in ('train', 'val', 'test')]
    done = quickstart(
        *('--task', 'pretraining', '--work-dir', work_dir, '--data-root', tmp_path / 'data'),
        *('--target', -1, '--train-samples', 20, '--val-samples', 4, '--cfg-options'),
        *('train_cfg.max_iters=4', 'train_cfg.val_interval=4', 'train_dataloader.batch_size=2'),
        *('default_hooks.logger.interval=1', 'default_hooks.checkpoint.interval=4'),
        *('param_scheduler.0.end=1', 'param_scheduler.1.begin=1'),
        *(f'{loader}.num_workers=0' for loader in loaders),
        *(f'{loader}.persistent_workers=False' for loader in loaders),
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert re.search(r'on unseen data: masked L1 \d\.\d+', done.stdout)
    assert 'Reached the target of -1.00 for mIoU after pre-training' in done.stdout
    folder = work_dir / 'pretraining'
    for name in ('predictions.png', 'curves.png', 'reconstructions.png'):
        image = cv2.imread(str(folder / name))
        assert min(image.shape[:2]) > 300 and image.std() > 20, name
    starts = {name: (folder / name / 'train.log').read_text() for name in ('pretrained', 'scratch')}
    assert f'{folder}/simmim/iter_4.pth' in starts['pretrained']
    assert 'random initialization' in starts['scratch']


def test_quickstart_refuses_other_data(dataset: Path) -> None:
    done = quickstart('--data-root', dataset.parent)
    assert done.returncode == 2
    assert 'the parameters differ' in done.stderr and 'Traceback' not in done.stderr


TOP1 = {'acc/top1': 0.95, 'pair/swapped': 0.03}
BACKWARDS = {'acc/top1': 0.03, 'pair/swapped': 0.94}


@pytest.mark.parametrize(
    ('changed', 'reached'),
    [
        ({}, True),
        ({'test': {**TOP1, 'acc/top1': 0.89}}, False),
        # The model does not use the order of the frames.
        ({'shuffled': {'acc/top1': 0.61}}, False),
        ({'reversed': TOP1}, False),
    ],
)
def test_video_must_look_at_the_order_of_frames(changed: dict, reached: bool) -> None:
    results = {'test': TOP1, 'shuffled': {'acc/top1': 0.5}, 'reversed': BACKWARDS, **changed}
    assert EXAMPLES['video'].reached(results, 0.9) is reached


@pytest.mark.slow
def test_quickstart_reaches_its_target(tmp_path: Path) -> None:
    done = quickstart('--work-dir', tmp_path / 'work', '--data-root', tmp_path / 'data')
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert 'Reached the target of 0.60' in done.stdout
    assert 'Reached the target of 0.70' in done.stdout
    assert 'Reached the target of 0.90' in done.stdout


# Not of pre-training, whose goal is a difference of two trainings.
@pytest.mark.parametrize('task', ['detection', 'segmentation', 'video'])
def test_configs_expect_the_goals(task: str) -> None:
    """tools/test.py and tools/quickstart.py judge by the same numbers."""
    example = EXAMPLES[task]
    (training,) = example.trainings
    configs = {test: Config.fromfile(ROOT / path) for test, path in training.tests.items()}
    expected = {
        test: [(e.metric, e.get('at_least'), e.get('at_most')) for e in loaded.expected]
        for test, loaded in configs.items()
    }
    target = example.target
    assert (
        expected
        == {
            'detection': {
                'test': [('coco/bbox_mAP_50', target, None), ('coco/segm_mAP_50', target, None)]
            },
            'segmentation': {'test': [('mIoU', 100 * target, None)]},
            'video': {
                'test': [('acc/top1', target, None)],
                'shuffled': [('acc/top1', None, EXAMPLES['video'].most_shuffled)],
                'reversed': [('pair/swapped', target, None)],
            },
        }[task]
    )
