"""What `test.py --show`, `--show-dir` and `--interval` make of a config."""

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
    """Let a test draw every n-th sample by `PictureHook`.

    Args:
        cfg: Changed in place.
        visualizers: The library's default visualizer and the class that replaces it; one of the
            user's own stays.
        folder: Of the pictures; None writes none.
        interval: Draw every n-th sample.
        show: Open a window for each picture.
        wait_time: Seconds that it stays open.
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
