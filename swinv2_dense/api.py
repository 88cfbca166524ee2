"""Predictions in Python: `predict = load(CONFIG, CHECKPOINT)`, then `predict(image)`."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from .cli.infer import build_inferencer, parse, read_model_config
from .drawing.clips import clip_sheet, evenly
from .errors import ConfigError
from .inference.base import CheckedInferencer, ImageInferencer
from .inference.video_files import is_moving, read_frames

Source = Any  # a path, an array or a PIL image


class Prediction:
    """What a model predicts for one input, as plain arrays.

    Detectors: `boxes` (N, 4) as x1, y1, x2, y2 in pixels, `scores` (N,), `labels` (N,), `names`,
    and `masks` (N, H, W) of bool, or None. Panoptic models also: `segment_map` (H, W) of ids, 0
    where there is no segment, and `segments`, dicts of `id`, `label`, `name` and `pixels`.
    Segmentors: `label_map` (H, W) and `names`, which labels index. Classifiers and recognizers:
    `scores` of all classes, and the best `labels` with their `names`, best first.
    """

    def __init__(self, inferencer: CheckedInferencer, source: Any, sample: Any) -> None:
        self._inferencer, self._source, self._sample = inferencer, source, sample
        self.__dict__.update(inferencer.plain(sample))

    def __repr__(self) -> str:
        shown = (
            f'{name}={getattr(value, "shape", None) or value!r}'
            for name, value in vars(self).items()
            if not name.startswith('_')
        )
        return f'Prediction({", ".join(shown)})'

    def draw(self) -> np.ndarray:
        """A picture (H', W', 3) uint8 in RGB: the image, or frames of the video, as predicted."""
        if isinstance(self._inferencer, ImageInferencer):
            return self._inferencer.draw(self._source, self._sample, '')
        frames = list(read_frames(Path(self._source)))
        chosen = [frames[index] for index in evenly(len(frames))]
        best = float(self.scores[self.labels[0]])
        return clip_sheet(chosen, Path(self._source).name, (), self.names[0], best)

    def to_coco(self, image_id: int = 1) -> list[dict]:
        """COCO results of a detector; `category_id` is the label + 1, as the infer command has it.

        Raises:
            ConfigError: The model is not a detector.
        """
        if not hasattr(self, 'boxes'):
            raise ConfigError('to_coco() is for detectors; this model predicts no boxes')
        from pycocotools import mask

        results = []
        for index, (x1, y1, x2, y2) in enumerate(self.boxes.tolist()):
            result = dict(
                image_id=image_id,
                category_id=int(self.labels[index]) + 1,
                bbox=[x1, y1, x2 - x1, y2 - y1],
                score=float(self.scores[index]),
            )
            if self.masks is not None:
                rle = mask.encode(np.asfortranarray(self.masks[index], np.uint8))
                result['segmentation'] = dict(size=rle['size'], counts=rle['counts'].decode())
            results.append(result)
        return results


class Predictor:
    """A model that is ready to predict; `load` returns it.

    `inferencer` is the object behind it, and `classes` are the names of all classes.
    """

    def __init__(self, inferencer: CheckedInferencer) -> None:
        self.inferencer = inferencer
        self.classes = tuple(inferencer.model.dataset_meta['classes'])

    def __call__(
        self, source: Source | Sequence[Source], channel_order: str = 'rgb'
    ) -> Prediction | list[Prediction]:
        """Predict for one input, or for each of a list or tuple.

        Args:
            source: The path of an image, an array (H, W, 3) uint8, or a PIL image; for
                recognizers the path of a video.
            channel_order: Of arrays: 'rgb' or 'bgr' (OpenCV's).

        Raises:
            ConfigError: The input is of another kind or shape.
            UnreadableError: The file cannot be read.
        """
        if isinstance(source, (list, tuple)):
            return [self(item, channel_order) for item in source]
        if not isinstance(self.inferencer, ImageInferencer):
            if not isinstance(source, (str, PathLike)):
                raise ConfigError(
                    f'a recognizer takes the path of a video, not a {type(source).__name__}'
                )
            return Prediction(self.inferencer, source, self.inferencer.predict(str(source)))
        image, path = self._image(source, channel_order)  # BGR, as pipelines load it
        sample = self.inferencer.predict(self.inferencer.source(image, path))
        return Prediction(self.inferencer, np.ascontiguousarray(image[..., ::-1]), sample)

    def _image(self, source: Source, channel_order: str) -> tuple[np.ndarray, Path]:
        if isinstance(source, (str, PathLike)):
            path = Path(source)
            if path.is_file() and is_moving(path):
                raise ConfigError(f'{path} is a video: pass its frames, or use the infer command')
            return self.inferencer.read(path), path
        if channel_order not in ('rgb', 'bgr'):
            raise ConfigError(f"channel_order={channel_order!r} must be 'rgb' or 'bgr'")
        if hasattr(source, 'convert'):  # PIL
            image, channel_order = np.asarray(source.convert('RGB')), 'rgb'
        else:
            image = np.asarray(source)
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ConfigError(
                f'an image must be an array (H, W, 3) of uint8, not {image.shape} of {image.dtype}'
            )
        order = 1 if channel_order == 'bgr' else -1
        return np.ascontiguousarray(image[..., ::order]), Path('image')


def load(
    config: str | PathLike,
    checkpoint: str | PathLike | None = None,
    *,
    device: str | None = None,
    score_thr: float = 0.3,
    tta: bool = False,
    amp: bool = False,
) -> Predictor:
    """Load a model for predictions; see `Predictor`.

    Args:
        config: A config file; or the checkpoint, if it holds its config or lies beside it.
        checkpoint: A path, URL or `hf://owner/name`.
        device: Such as 'cuda:1'. Default: a GPU if there is one.
        score_thr: Detectors drop objects with lower scores.
        tta: Use test-time augmentation.
        amp: Use mixed precision.

    Raises:
        ConfigError: The config cannot be used.
        CheckpointError: The checkpoint cannot be used.
    """
    files = [str(part) for part in (config, checkpoint) if part is not None]
    flags = ['--score-thr', str(score_thr), '--no-pictures']
    flags += ['--device', device] if device else []
    flags += ['--tta'] * tta + ['--amp'] * amp
    args = parse([*files, 'INPUT', *flags])
    return Predictor(build_inferencer(read_model_config(args), args))
