"""What `test.py --show`, `--show-dir` and `--interval` make of a config."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mmengine.config import Config, ConfigDict

from ..config_parts import datasets_of, listed, type_name
from .hook import PictureHook

# Visualizer of each library, and the class of this package that takes its place.
OWN = {
    'mmdet': ('DetLocalVisualizer', 'ClassColorDetVisualizer'),
    'mmseg': ('SegLocalVisualizer', 'LegendSegVisualizer'),
    'mmaction': ('ActionVisualizer', 'ClipVisualizer'),
}
NAMES = ('filename', 'frame_dir')  # keys of the results of mmaction2's pipelines


def draw_predictions(
    cfg: Config, folder: str | None, interval: int = 1, show: bool = False, wait_time: float = 0.0
) -> None:
    """Let a test draw every n-th sample by `PictureHook`; a visualizer of the user's own stays."""
    default, own = OWN[cfg.default_scope]
    visualizer = cfg.get('visualizer') or dict(name='visualizer')
    if type_name(visualizer) in ('', 'Visualizer', default):
        cfg.visualizer = ConfigDict({**visualizer, 'type': own})
    hooks = cfg.setdefault('default_hooks', ConfigDict())
    score_thr = (hooks.get('visualization') or {}).get('score_thr', 0.3)
    hooks.visualization = ConfigDict(
        type=PictureHook.__name__,
        folder=folder,
        interval=interval,
        show=show,
        wait_time=wait_time,
        score_thr=score_thr,
    )
    if cfg.default_scope == 'mmaction':
        for _, dataset in datasets_of('test', (cfg.get('test_dataloader') or {}).get('dataset')):
            _keep_names(dataset.get('pipeline') or [])


def _keep_names(pipeline: Iterable[Any]) -> None:
    """mmaction2 packs a clip without the name of its file."""
    for step in pipeline:
        if type_name(step) == 'PackActionInputs':
            given = listed(step.get('meta_keys', ('img_shape', 'img_key', 'video_id', 'timestamp')))
            step['meta_keys'] = tuple(dict.fromkeys([*given, *NAMES]))
