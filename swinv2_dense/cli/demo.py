"""Predict on a local page."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..checks.paths import check_checkpoint
from ..checks.pixel_limit import use_flag
from ..inference.demo import Demo, build_page, import_gradio, launch
from ..own_data.class_folders import VIDEO_SUFFIXES
from ..tasks import task_of
from .infer import IMAGE_SUFFIXES, build_inferencer, read_model_config
from .options import demo_parser

LOCAL = ('127.0.0.1', 'localhost', '::1')
SETTINGS = {  # of gradio and its parts: no requests to anyone
    'GRADIO_ANALYTICS_ENABLED': 'False',
    'HF_HUB_DISABLE_TELEMETRY': '1',
}


def main(argv: Sequence[str] | None = None) -> None:
    """`demo [CONFIG] CHECKPOINT [flags]`."""
    args = demo_parser().parse_args(argv)
    check_checkpoint('CHECKPOINT', args.checkpoint)
    use_flag(args)
    os.environ.update(SETTINGS)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # removes the uploads, as Ctrl-C does
    with tempfile.TemporaryDirectory(prefix='swinv2_demo_') as folder:
        os.environ['GRADIO_TEMP_DIR'] = str(Path(folder) / 'uploads')
        import_gradio()
        cfg = read_model_config(args)
        takes_clips = task_of(cfg).takes_clips(cfg)
        inferencer = build_inferencer(cfg, args)
        suffixes = ('.gif', *VIDEO_SUFFIXES) if takes_clips else IMAGE_SUFFIXES + VIDEO_SUFFIXES
        results = Path(folder) / 'results'
        results.mkdir()
        title = '/'.join(Path(args.checkpoint).parts[-2:])
        page = build_page(Demo(inferencer, takes_clips, results), title, suffixes)
        if args.host not in LOCAL:
            print(
                f'warning: --host={args.host}: everyone who reaches this address can use the page',
                file=sys.stderr,
            )
        launch(page, args.host, args.port, args.max_upload)
