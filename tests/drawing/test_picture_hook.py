"""--show-dir of the command test: a picture per sample, named like its file, for every task."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData, PixelData

from swinv2_dense.drawing.hook import PictureHook
from swinv2_dense.drawing.options import draw_predictions
from swinv2_dense.tasks import task_of

CLASSES = ('clap', 'wave')
RED, BLUE = (250, 0, 0), (0, 0, 250)
META = dict(classes=CLASSES, palette=[RED, BLUE])


class Files:
    """A dataset, as far as the hook uses it."""

    def __init__(self, paths: list[Path], key: str = 'img_path') -> None:
        self.paths, self.key = paths, key

    def __len__(self) -> int:
        return len(self.paths)

    def get_data_info(self, index: int) -> dict:
        return {self.key: str(self.paths[index])}


def write_images(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((64, 64, 3), 128, np.uint8))
    return paths


def run_hook(kind: type, dataset: Files, samples: list, inputs: list | None = None, **settings):
    """The hook over batches of one sample, with a visualizer of this class."""
    visualizer = kind.get_instance(f'{kind.__name__}-{id(samples)}')
    visualizer.dataset_meta = META
    runner = SimpleNamespace(
        test_dataloader=SimpleNamespace(dataset=dataset), visualizer=visualizer
    )
    hook = PictureHook(**settings)
    hook.before_test(runner)
    for index, sample in enumerate(samples):
        batch = dict(inputs=[inputs[index]] if inputs else None)
        hook.after_test_iter(runner, index, batch, [sample])


def written(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file())


def color_counts(file: Path) -> dict[str, list[int]]:
    """Pixels nearly red and nearly blue in the left and the right half of a picture."""
    picture = cv2.imread(str(file))[..., ::-1].astype(int)
    halves = np.array_split(picture, 2, axis=1)
    near = {'red': RED, 'blue': BLUE}
    return {n: [int((abs(h - c).max(-1) < 30).sum()) for h in halves] for n, c in near.items()}


def test_detection(tmp_path):
    pytest.importorskip('mmdet')
    from mmdet.structures import DetDataSample

    from swinv2_dense.det import ClassColorDetVisualizer

    paths = write_images(tmp_path / 'in', 'a/12.jpg', 'b/12.jpg', 'b/13.tif')
    samples = []
    for path in paths:
        sample = DetDataSample(metainfo=dict(img_path=str(path)))
        box = torch.tensor([[10.0, 20, 40, 50], [5, 5, 15, 15]])
        sample.gt_instances = InstanceData(bboxes=box[:1], labels=torch.tensor([0]))
        sample.ignored_instances = InstanceData()
        scores = torch.tensor([0.9, 0.2])
        sample.pred_instances = InstanceData(bboxes=box, labels=torch.tensor([0, 1]), scores=scores)
        samples.append(sample)
    out = tmp_path / 'out'
    run_hook(ClassColorDetVisualizer, Files(paths), samples, folder=str(out), score_thr=0.3)
    assert written(out) == ['a/12.jpg', 'b/12.jpg', 'b/13.jpg']
    for name in written(out):
        colors = color_counts(out / name)
        assert min(colors['red']) > 500  # truth and prediction
        assert max(colors['blue']) == 0  # below the threshold
    run_hook(
        ClassColorDetVisualizer, Files(paths), samples, folder=str(tmp_path / 'some'), interval=2
    )
    assert written(tmp_path / 'some') == ['a/12.jpg', 'b/13.jpg']


def test_resized_ground_truth_is_drawn_at_the_original_size(tmp_path):
    """Pipelines that load annotations before a resize give them in resized pixels."""
    pytest.importorskip('mmdet')
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks

    from swinv2_dense.det import ClassColorDetVisualizer

    bitmap = np.zeros((1, 128, 128), np.uint8)
    bitmap[:, 64:, 64:] = 1
    truth = InstanceData(
        bboxes=torch.tensor([[64.0, 64, 128, 128]]), labels=torch.tensor([0]),
        masks=BitmapMasks(bitmap, 128, 128),
    )  # fmt: skip
    sample = DetDataSample(gt_instances=truth)
    visualizer = ClassColorDetVisualizer()
    visualizer.dataset_meta = META
    picture = visualizer.picture(np.full((64, 64, 3), 128, np.uint8), sample)[-512:]
    changed = (picture != 128).any(axis=-1)
    assert changed[260:, 260:].all() and not changed[:200].any() and not changed[:, :200].any()


def test_segmentation(tmp_path):
    pytest.importorskip('mmseg')
    from mmseg.structures import SegDataSample

    from swinv2_dense.seg import LegendSegVisualizer

    paths = write_images(tmp_path / 'in', 'test_5.png')
    sample = SegDataSample(metainfo=dict(img_path=str(paths[0])))
    sample.gt_sem_seg = PixelData(data=torch.zeros(1, 64, 64, dtype=torch.long))
    sample.pred_sem_seg = PixelData(data=torch.ones(1, 64, 64, dtype=torch.long))
    run_hook(LegendSegVisualizer, Files(paths), [sample], folder=str(tmp_path / 'out'))
    assert written(tmp_path / 'out') == ['test_5.png']
    picture = cv2.imread(str(tmp_path / 'out/test_5.png'))[-512:, :, ::-1].astype(int)
    for panel, color in [(picture[:, :512], RED), (picture[:, 520:1032], BLUE)]:
        expected = 0.4 * 128 + 0.6 * np.array(color)
        assert np.abs(panel - expected).max() <= 1.5


def test_clips(tmp_path):
    """A row of eight enlarged frames of 64 pixels; a second, wrong prediction is red."""
    pytest.importorskip('mmaction')
    from mmaction.structures import ActionDataSample

    from swinv2_dense.video import ClipVisualizer

    paths = [tmp_path / 'in/clap/1.mp4', tmp_path / 'in/wave/1.mp4']
    samples = []
    for path, label in zip(paths, (0, 1)):
        sample = ActionDataSample(metainfo=dict(filename=str(path)))
        sample.set_gt_label(label)
        sample.set_pred_score(torch.tensor([0.8, 0.2]))
        samples.append(sample)
    inputs = [torch.full((2, 3, 16, 64, 64), 200, dtype=torch.uint8)] * 2
    dataset = Files(paths, 'filename')
    run_hook(ClipVisualizer, dataset, samples, inputs, folder=str(tmp_path / 'out'))
    assert written(tmp_path / 'out') == ['clap/1.jpg', 'wave/1.jpg']
    right, wrong = (cv2.imread(str(tmp_path / 'out' / name)) for name in written(tmp_path / 'out'))
    assert right.shape == wrong.shape and right.shape[1] == 8 * 192 + 7 * 8
    assert np.abs(right[-150:-50, 20:170].astype(int) - 200).max() < 6
    head = len(right) - 192
    is_red = [(p[:head, :, 2].astype(int) - p[:head, :, 1] > 100).any() for p in (right, wrong)]
    assert is_red == [False, True]


@pytest.mark.parametrize(
    'scope, own', [('mmdet', 'ClassColorDetVisualizer'), ('mmseg', 'LegendSegVisualizer'),
                   ('mmaction', 'ClipVisualizer')]
)  # fmt: skip
def test_configs_get_the_hook_and_the_visualizer(scope, own):
    """If they have none of their own; a user's visualizer stays."""
    step = dict(type='PackActionInputs', meta_keys='img_shape')
    cfg = Config(dict(default_scope=scope, test_dataloader=dict(dataset=dict(pipeline=[step]))))
    task = task_of(cfg)
    task.prepare_drawing(cfg)
    draw_predictions(cfg, task.visualizers, 'shown', interval=3)
    assert cfg.visualizer.type == own
    hook = cfg.default_hooks.visualization
    assert (hook.type, hook.folder, hook.interval) == ('PictureHook', 'shown', 3)
    with DefaultScope.overwrite_default_scope(scope):
        from mmengine.registry import HOOKS

        assert isinstance(HOOKS.build(dict(hook)), PictureHook)
    if scope == 'mmaction':
        keys = cfg.test_dataloader.dataset.pipeline[0].meta_keys
        assert tuple(keys) == ('img_shape', 'filename', 'frame_dir')
    users = Config(dict(default_scope=scope, visualizer=dict(type='Mine')))
    users.default_hooks = dict(visualization=dict(type='X', score_thr=0.7))
    draw_predictions(users, task.visualizers, None)
    assert users.visualizer.type == 'Mine'
    assert users.default_hooks.visualization.score_thr == 0.7
