"""A local page that predicts for uploaded images and videos, made with gradio.

upload -> inferencer, as in the infer command -> picture or video, table, JSON file
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..checks.pixel_limit import PixelLimitError
from ..drawing.files import picture_suffix
from ..errors import ConfigError
from .base import CheckedInferencer
from .outputs import Outputs
from .video_files import UnreadableError, is_moving

KEPT = 4  # results whose files may still be copied or downloaded
MOST_ROWS = 1000
HEIGHT = 520  # of pictures, in pixels of the page
FONTS = ('system-ui', 'sans-serif')  # of the reader; gradio would load its own from the network


class Answer(NamedTuple):
    """What the page shows for an upload: files, and a table with its header."""

    picture: Path
    record: Path
    header: list[str]
    rows: list[list]


class Demo:
    """Answers uploads, one at a time.

    Args:
        inferencer: With pictures.
        takes_clips: Whether it takes whole videos only.
        folder: For results; old ones are removed.
    """

    def __init__(self, inferencer: CheckedInferencer, takes_clips: bool, folder: Path) -> None:
        self.inferencer, self.takes_clips, self.folder = inferencer, takes_clips, folder
        self.results: deque[Path] = deque()

    def answer(self, upload: Path, score_thr: float | None = None) -> Answer:
        """Predict for a file.

        Args:
            upload: An image or a video.
            score_thr: Drops objects with lower scores; of detectors.

        Raises:
            UnreadableError: The file cannot be read.
        """
        if score_thr is not None:
            self.inferencer.score_thr = score_thr
        is_video = self.takes_clips or is_moving(upload)
        suffix = '.mp4' if is_video else picture_suffix(str(upload))
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        self.results.append(folder)
        if len(self.results) > KEPT:
            shutil.rmtree(self.results.popleft(), ignore_errors=True)
        self.inferencer.process(upload, Outputs(folder, upload.name, f'{upload.stem}{suffix}'))
        record_file = folder / 'predictions' / f'{upload.name}.json'
        record = {**json.loads(record_file.read_text()), 'input': upload.name}
        record_file.write_text(json.dumps(record, indent=1) + '\n')
        header, rows = table(record)
        return Answer(folder / 'pictures' / f'{upload.stem}{suffix}', record_file, header, rows)


def table(record: Mapping[str, Any]) -> tuple[list[str], list[list]]:
    """The header and the rows of a prediction as the infer command writes it."""
    frames = record.get('frames')
    if isinstance(frames, list):
        header, rows = [], []
        for number, frame in enumerate(frames):
            header, found = table(frame)
            rows += [[number, *row] for row in found]
        return ['frame', *header], rows[:MOST_ROWS]
    for key, (header, rows_of) in TABLES.items():
        if key in record:
            return header, list(rows_of(record))[:MOST_ROWS]
    return ['value', 'number'], [[k, v] for k, v in record.items() if isinstance(v, float)]


def _objects(record: Mapping[str, Any]) -> Iterator[list]:
    for name, score, box in zip(record['names'], record['scores'], record['bboxes']):
        yield [name, round(score, 3), *(round(value, 1) for value in box)]


def _areas(record: Mapping[str, Any]) -> Iterator[list]:
    total = sum(area['pixels'] for area in record['areas'])
    for area in record['areas']:
        yield [area['name'], round(100 * area['pixels'] / total, 1)]


def _top(record: Mapping[str, Any]) -> Iterator[list]:
    for entry in record['top']:
        yield [entry['name'], round(entry['score'], 3)]


TABLES: dict[str, tuple[list[str], Callable[[Mapping], Iterator[list]]]] = {
    'bboxes': (['class', 'score', 'x1', 'y1', 'x2', 'y2'], _objects),
    'areas': (['class', 'area in %'], _areas),
    'top': (['class', 'score'], _top),
}


def import_gradio() -> Any:
    """gradio.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        import gradio
    except ImportError:
        raise ConfigError(
            'the demo needs gradio: pip install "gradio>=6.31,<7", or the extra demo'
        ) from None
    return gradio


def build_page(demo: Demo, title: str, suffixes: Sequence[str]) -> Any:
    """The page, a `gradio.Blocks`.

    Args:
        demo: What answers.
        title: Its heading.
        suffixes: Of the files that can be uploaded.
    """
    gradio = import_gradio()
    threshold = getattr(demo.inferencer, 'score_thr', None)

    def respond(upload: str | None, score_thr: float) -> list[Any]:
        if upload is None:
            return [gradio.update(value=None)] * 4
        try:
            answer = demo.answer(Path(upload), None if threshold is None else score_thr)
        except (UnreadableError, PixelLimitError) as error:
            raise gradio.Error(f'{Path(upload).name}: {error}', print_exception=False) from error
        is_video = answer.picture.suffix == '.mp4'
        picture = str(answer.picture)
        return [
            gradio.update(value=None if is_video else picture, visible=not is_video),
            gradio.update(value=picture if is_video else None, visible=is_video),
            gradio.update(value=answer.rows, headers=answer.header),
            str(answer.record),
        ]

    what = 'video' if demo.takes_clips else 'image or video'
    with gradio.Blocks(title=title, analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gradio.Markdown(f'# {title}')
        with gradio.Row():
            with gradio.Column(scale=1, min_width=280):
                upload = gradio.File(
                    label=f'Drop a {what}' if what == 'video' else f'Drop an {what}',
                    file_types=list(suffixes), type='filepath', elem_id='upload',
                )  # fmt: skip
                slider = gradio.Slider(
                    0, 1, threshold or 0.0, step=0.01, label='Show objects with scores from',
                    visible=threshold is not None, elem_id='threshold',
                )  # fmt: skip
            with gradio.Column(scale=2, min_width=280):
                image = gradio.Image(
                    type='filepath', interactive=False, show_label=False, elem_id='picture',
                    buttons=['download', 'fullscreen'], height=HEIGHT,
                )  # fmt: skip
                video = gradio.Video(
                    interactive=False, show_label=False, visible=False, elem_id='video',
                    buttons=['download'], height=HEIGHT,
                )  # fmt: skip
                rows = gradio.Dataframe(
                    label='Found', interactive=False, wrap=True, elem_id='table', headers=['class']
                )
                record = gradio.File(label='Prediction as JSON', interactive=False, elem_id='json')
        outputs = [image, video, rows, record]
        settings = dict(
            fn=respond, inputs=[upload, slider], outputs=outputs, concurrency_limit=1,
            concurrency_id='model', api_visibility='private',
        )  # fmt: skip
        upload.change(**settings)
        slider.release(**settings)
    return page


def launch(page: Any, host: str, port: int, megabytes: int) -> None:
    """Serve the page until Ctrl-C.

    Raises:
        ConfigError: The address cannot be used.
    """
    gradio = import_gradio()
    theme = gradio.themes.Default(font=FONTS, font_mono=('monospace',))
    try:
        page.launch(
            server_name=host, server_port=port, max_file_size=f'{megabytes}mb', share=False,
            quiet=True, theme=theme, footer_links=[], ssr_mode=False, pwa=False, mcp_server=False,
            enable_monitoring=False, run_history=False, prevent_thread_lock=True,
        )  # fmt: skip
    except OSError as error:
        raise ConfigError(f'--host={host!r} --port={port} cannot be used: {error}') from error
    print(f'Open http://{host}:{port} (stop with Ctrl-C)', flush=True)
    page.block_thread()
