"""What the inferencers of mmdet, mmseg and mmaction2 lack: checked weights, names, whole files."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.infer import BaseInferencer
from mmengine.registry import DATASETS
from torch import nn

from ..checks.pixel_limit import PixelLimitError, check_image_file
from ..errors import ConfigError
from .class_folders import VIDEO_SUFFIXES
from .classes import class_heads
from .hooks import BackboneWeightsHook
from .load_report import LoadReportHook
from .outputs import Outputs
from .video_files import UnreadableError, frame_rate, read_frames, reading, write_frames


@dataclass
class _Loading:
    """What the hooks for loading read of a runner."""

    model: nn.Module
    _load_from: str
    _resume: bool = False
    _train_loop: None = None


class CheckedInferencer(BaseInferencer):
    """Stands before one of mm's inferencers among the bases of a class.

    Weights are loaded and checked as tools/test.py does it, and `model.dataset_meta` gets a name
    and a colour for each class.

    Args:
        cfg: Config whose `load_from` is the checkpoint. Its `test_dataloader.dataset` is one data
            set, of which the pipeline and the classes are used.
        device: Where to compute.
        classes: Names of the classes. Without them those of the checkpoint, else those of the
            data set, else numbers.

    Raises:
        CheckpointError: The checkpoint cannot be read, or is of another model.
        ConfigError: `classes` are not as many as those of the model.
    """

    def __init__(self, cfg: Config, device: str, classes: Sequence[str] | None = None) -> None:
        self.given_classes = classes
        super().__init__(model=cfg, weights=cfg.load_from, device=device)

    @abstractmethod
    def process(self, path: Path, outputs: Outputs) -> None:
        """Predict for a file and write what is predicted.

        Raises:
            UnreadableError: The file cannot be read; nothing is written.
        """

    def predict(self, source: Any) -> Any:
        """The data sample of what the pipeline takes: the path of a video, an image (BGR)."""
        with reading():
            data = self.pipeline(source)
        return self.forward(self.collate_fn([data]))[0]

    def _init_collate(self, cfg: Config) -> Callable:
        """The config's; without one, mm's class warns before it takes the default."""
        given = cfg.test_dataloader.get('collate_fn')
        return super()._init_collate(cfg) if given else pseudo_collate

    def _load_weights_to_model(
        self, model: nn.Module, checkpoint: dict | None, cfg: Config
    ) -> None:
        """mm's classes go on with random weights, and with names of COCO or Cityscapes."""
        loading = _Loading(model, cfg.load_from)
        for hook in (BackboneWeightsHook(), LoadReportHook()):
            hook.after_load_checkpoint(loading, checkpoint)
        BaseInferencer._load_weights_to_model(self, model, checkpoint, cfg)
        meta = checkpoint.get('meta') or {}
        metas = [
            {key.lower(): value for key, value in (meta.get('dataset_meta') or {}).items()},
            _meta_of_dataset(cfg),
        ]
        model.dataset_meta = describe_classes(_num_classes(cfg), metas, self.given_classes)


def _num_classes(cfg: Config) -> int | None:
    """Classes of the model, if its config tells."""
    return next((head['num_classes'] for _, head in class_heads(cfg.model)), None)


def _meta_of_dataset(cfg: Config) -> Mapping[str, Any]:
    dataset = cfg.test_dataloader.dataset
    with DATASETS.switch_scope_and_registry(cfg.default_scope) as registry:
        kind = registry.get(dataset.type) if isinstance(dataset.type, str) else dataset.type
    return kind._load_metainfo(dataset.get('metainfo')) if kind else {}


def describe_classes(
    count: int | None, metas: Sequence[Mapping], given: Sequence[str] | None
) -> dict[str, Any]:
    """Names and colours for `count` classes, or for as many as there are names.

    Args:
        count: Classes of the model.
        metas: `classes` and `palette` as data sets have them, the best first. Only names of as
            many classes as the model has are used, and palettes that suffice.
        given: Names that go before all others.

    Raises:
        ConfigError: Not as many names are `given`.
    """
    if given is not None and count not in (None, len(given)):
        raise ConfigError(
            f'--classes names {len(given)} classes, but model of the config has {count}; write a '
            'line for each class, in the order of training'
        )
    named = [given, *(meta.get('classes') for meta in metas)]
    fitting = (names for names in named if names and count in (None, len(names)))
    names = tuple(next(fitting, None) or map(str, range(count or 0)))
    palettes = (meta.get('palette') for meta in metas)
    palette = next((p for p in palettes if _suffices(p, len(names))), None)
    if palette is None:  # as mmseg makes them
        palette = np.random.RandomState(42).randint(0, 255, (len(names), 3)).tolist()
    return dict(classes=names, palette=palette)


def _suffices(palette: Any, count: int) -> bool:
    return isinstance(palette, (list, tuple)) and len(palette) >= count


class ImageInferencer(CheckedInferencer):
    """For tasks on images; videos go through the model frame by frame. Images are (H, W, 3)."""

    @abstractmethod
    def describe(self, sample: Any) -> dict[str, Any]:
        """A prediction as JSON."""

    @abstractmethod
    def draw(self, image: np.ndarray, sample: Any, file: Path) -> None:
        """Write an RGB image with its prediction as a picture."""

    @abstractmethod
    def draw_frame(self, image: np.ndarray, sample: Any) -> np.ndarray:
        """An RGB frame with its prediction, of the same size."""

    def write_maps(self, sample: Any, outputs: Outputs, part: str = '') -> None:
        """Write what is predicted per pixel, if anything; `part` tells frames apart."""

    def process(self, path: Path, outputs: Outputs) -> None:
        is_video = path.suffix.lower() in VIDEO_SUFFIXES
        record = (self._video if is_video else self._image)(path, outputs)
        outputs.write_json(dict(input=str(path), **record))

    def read(self, path: Path) -> np.ndarray:
        """An image (BGR) as the pipeline's LoadImageFromFile reads it."""
        try:
            check_image_file(path)
        except PixelLimitError as error:
            raise UnreadableError(error.reason) from error
        loader = next(step for step in self.pipeline.transforms if hasattr(step, 'from_file'))
        with reading():
            return loader.from_file(dict(img_path=str(path)))['img']

    def _image(self, path: Path, outputs: Outputs) -> dict[str, Any]:
        image = self.read(path)
        sample = self.predict(image)
        self.write_maps(sample, outputs)
        with outputs.whole('pictures', '.jpg') as draft:
            self.draw(image[..., ::-1].astype(np.uint8), sample, draft)
        height, width = image.shape[:2]
        return dict(height=height, width=width, **self.describe(sample))

    def _video(self, path: Path, outputs: Outputs) -> dict[str, Any]:
        described = []

        def drawn() -> Iterator[np.ndarray]:
            for index, image in enumerate(read_frames(path)):
                sample = self.predict(np.ascontiguousarray(image[..., ::-1]))
                self.write_maps(sample, outputs, f'/{index:06d}')
                height, width = image.shape[:2]
                described.append(dict(height=height, width=width, **self.describe(sample)))
                yield self.draw_frame(image, sample)

        rate = frame_rate(path)
        outputs.remove_parts('label_maps')  # of an earlier run, perhaps of more frames
        try:
            with outputs.whole('pictures', '.mp4') as draft:
                write_frames(draft, drawn(), rate)
        except BaseException:
            outputs.remove_parts('label_maps')
            raise
        return dict(frames_per_second=float(rate), frames=described)
