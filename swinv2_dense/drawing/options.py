"""Applies `--show`, `--show-dir` and `--interval` of a test to its config."""

from __future__ import annotations

from mmengine.config import Config, ConfigDict

from ..config_parts import type_name
from .hook import PictureHook


def draw_predictions(
    cfg: Config,
    visualizers: tuple[str, str] | None,
    folder: str | None,
    interval: int = 1,
    show: bool = False,
    wait_time: float = 0.0,
) -> None:
    """Make a test draw every n-th sample with `PictureHook`.

    Args:
        cfg: Changed in place.
        visualizers: The library's default visualizer and its replacement; other visualizers are
            kept.
        folder: Folder for the pictures; None writes none.
        interval: Draw every n-th sample.
        show: Show each picture in a window.
        wait_time: Seconds that each picture is shown.
    """
    if visualizers is not None:
        default, own = visualizers
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
