"""Small DETRs and Mask2Formers overfit real images, from scratch, through COCO's evaluation."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import run_here, scalars
from detr_overfitting import CONFIGS, small

from swinv2_dense.quickstart.detection_panel import draw_curves

pytest.importorskip('mmdet')
# Metrics that must reach a value, and iterations at 128 pixels.
GOALS = {
    'plain-detr': ({'coco/bbox_mAP_50': 0.8}, 600),
    'plain-detr-reparam': ({'coco/bbox_mAP_50': 0.8}, 600),
    'dino': ({'coco/bbox_mAP_50': 0.8}, 600),
    'mask2former': ({'coco/bbox_mAP_50': 0.8, 'coco/segm_mAP_50': 0.8}, 600),
    'mask2former-panoptic': ({'coco_panoptic/PQ': 60}, 600),
}


def train(head: str, samples: Path, folder: Path, size: int, iterations: int) -> list[dict]:
    """mmengine's log of a training on 8 images."""
    cfg = small(head, folder, samples, size, iterations, interval=max(iterations // 6, 1))
    cfg.dump(folder / 'small.py')
    result = run_here('train', folder / 'small.py', '--work-dir', folder / 'work')
    assert result.returncode == 0, result.stderr
    return scalars(folder / 'work')


def test_the_loss_falls_and_evaluation_runs(samples, tmp_path):
    """The short form of what follows, for the head that is implemented here."""
    log = train('plain-detr', samples, tmp_path, 96, 24)
    losses = [entry['loss'] for entry in log if 'loss' in entry]
    assert losses[-1] < 0.85 * losses[0]
    assert 'coco/bbox_mAP_50' in log[-1]


@pytest.mark.slow
@pytest.mark.parametrize('head', CONFIGS)
def test_it_overfits_real_images(head, samples, tmp_path):
    goals, iterations = GOALS[head]
    log = train(head, samples, tmp_path, 128, iterations)
    (scalars_file,) = (tmp_path / 'work').glob('*/vis_data/scalars.json')
    draw_curves(scalars_file, tmp_path / 'curves.png', target=0.8)
    for metric, goal in goals.items():
        assert log[-1][metric] >= goal
