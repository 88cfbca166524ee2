"""Inferencers with checked weights and class names, which write their output files atomically."""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.hooks import Hook
from mmengine.infer import BaseInferencer
from mmengine.logging import print_log
from mmengine.registry import DATASETS, HOOKS, TRANSFORMS
from mmengine.runner.amp import autocast
from torch import nn

from ..checks.class_heads import class_heads
from ..checks.class_lists import first_difference
from ..checks.image_files import loader_problem
from ..checks.pixel_limit import PixelLimitError, check_image_file
from ..checks.topk import top_classes
from ..config_parts import as_list, type_name
from ..drawing.palette import as_palette, class_colors
from ..drawing.sheet import displayable, write_picture
from ..drawing.video import write_video
from ..errors import CheckpointError, ConfigError, truncate
from ..training.backbone_weights import BackboneWeightsHook
from ..training.checkpoint_classes import (
    class_names,
    classes_of_checkpoint,
    knows_classes,
    mismatch,
)
from ..training.image_check import is_default_loader
from ..training.load_report import LoadReportHook
from .loaded_image import image_results
from .outputs import Outputs
from .video_files import UnreadableError, frame_rate, is_moving, read_frames, reading

ANNOTATIONS = ('LoadAnnotations', 'LoadDepthAnnotation')  # steps that the libraries drop, too


@dataclass
class _Loading:
    """The attributes of a runner that the hooks for loading use."""

    model: nn.Module
    _load_from: str
    _resume: bool = False
    _train_loop: None = None


class CheckedInferencer(BaseInferencer):
    """Mixin for an inferencer of mmdet, mmseg or mmaction2; comes first in the list of bases.

    Weights are loaded and checked as in `cli.test`, and `model.dataset_meta` gets a name and a
    color for each class.

    Args:
        cfg: Config whose `load_from` is the checkpoint. Its `test_dataloader.dataset` is a single
            dataset, whose pipeline and classes are used.
        device: Device of the model.
        classes: Class names. Default: those of the checkpoint, else of the dataset, else numbers.

    Raises:
        CheckpointError: The checkpoint cannot be read, or belongs to another model.
        ConfigError: The number of `classes` is not that of the model.
    """

    load_hooks: tuple[type[Hook], ...] = (BackboneWeightsHook, LoadReportHook)
    batch_size = 1
    with_pictures = True
    amp = False

    def __init__(self, cfg: Config, device: str, classes: Sequence[str] | None = None) -> None:
        self.given_classes = classes
        self.device = torch.device(device)
        super().__init__(model=cfg, weights=cfg.get('load_from'), device=device)

    def use_amp(self, hooks: Sequence[str]) -> None:
        """Predict in mixed precision, with the hooks of the task that protect its model."""
        self.amp = True
        for name in hooks:
            HOOKS.build(dict(type=name)).before_run(_Loading(self.model, ''))

    def process_all(
        self, files: Iterable[tuple[Path, Outputs]]
    ) -> Iterator[tuple[Path, UnreadableError | None]]:
        """Predict for files and write the results; yields each with its error, if unreadable."""
        for path, outputs in files:
            yield path, self._tried(path, outputs)

    def _tried(self, path: Path, outputs: Outputs) -> UnreadableError | None:
        try:
            self.process(path, outputs)
        except UnreadableError as error:
            return error
        return None

    @abstractmethod
    def process(self, path: Path, outputs: Outputs) -> None:
        """Predict for a file and write the results.

        Raises:
            UnreadableError: The file cannot be read; nothing is written.
        """

    def predict(self, source: Any) -> Any:
        """The data sample for an input of the pipeline: the path of a video, or an image (BGR)."""
        return self.run([self.prepare(source)])[0]

    def prepare(self, source: Any) -> dict[str, Any]:
        """An input as the pipeline packs it."""
        with reading():
            return self.pipeline(source)

    def run(self, prepared: list[dict[str, Any]]) -> list[Any]:
        """The data samples of prepared inputs, computed in one batch."""
        with autocast(device_type=self.device.type, enabled=self.amp):
            return self.forward(self.collate_fn(prepared))

    def _init_collate(self, cfg: Config) -> Callable:
        """The config's. The library's class warns before it uses the default."""
        given = cfg.test_dataloader.get('collate_fn')
        return super()._init_collate(cfg) if given else pseudo_collate

    def _load_weights_to_model(
        self, model: nn.Module, checkpoint: dict | None, cfg: Config
    ) -> None:
        """The libraries' classes accept random weights, and use names of COCO or Cityscapes."""
        if checkpoint is None:  # an exported file, which has its weights and classes
            classes = model.runner.metadata.classes
            metas = [dict(classes=classes), _meta_of_dataset(cfg)]
            model.dataset_meta = describe_classes(len(classes), metas, self.given_classes)
            return
        inner = getattr(model, 'module', model)  # of test-time augmentation and slices
        model_cfg = cfg.model.get('module', cfg.model)
        loading = _Loading(inner, cfg.load_from)
        for hook in self.load_hooks:
            hook().after_load_checkpoint(loading, checkpoint)
        BaseInferencer._load_weights_to_model(self, model, checkpoint, cfg)
        meta = checkpoint.get('meta') or {}
        metas = [
            {key.lower(): value for key, value in (meta.get('dataset_meta') or {}).items()},
            _meta_of_dataset(cfg),
        ]
        head = next((head for _, head in class_heads(model_cfg)), {})
        given, trained = self.given_classes, classes_of_checkpoint(checkpoint)
        if head.get('out_channels') == 1:  # mmseg: 1 above a threshold, else 0
            metas = [{**meta, 'classes': _two_classes(meta.get('classes'))} for meta in metas]
            given, trained = _two_classes(given), _two_classes(trained)
            head = dict(num_classes=2)
        count = head.get('num_classes')
        model.dataset_meta = inner.dataset_meta = describe_classes(count, metas, given)
        has_classes = bool(model.dataset_meta['classes'])
        if has_classes and knows_classes(model_cfg) and count in (None, len(trained)):
            _check_names(cfg.load_from, trained, class_names(metas[1]), given)

    def plain(self, sample: Any) -> dict[str, Any]:
        """A prediction as arrays and lists, see `api.Prediction`.

        Raises:
            ConfigError: The task does not support it.
        """
        raise ConfigError(f'load() does not support {type(self.model).__name__}')

    def top(self, scores: torch.Tensor) -> list[dict[str, Any]]:
        """`label`, `name` and `score` of the best classes of a classifier, from all scores (N,)."""
        best = top_classes(scores)
        return [dict(label=label, name=self.name(label), score=score) for label, score in best]

    def plain_scores(self, scores: torch.Tensor) -> dict[str, Any]:
        """`plain` of a classifier: all scores (N,), and labels and names of the best classes."""
        best = self.top(scores)
        labels, names = ([entry[key] for entry in best] for key in ('label', 'name'))
        return dict(scores=scores.cpu().numpy(), labels=labels, names=names)

    def name(self, label: int) -> str:
        """Name of a class; its number if it has no name."""
        names = self.model.dataset_meta['classes']
        return names[label] if label < len(names) else str(label)


def _check_names(
    source: str, trained: Sequence[str], present: Sequence[str], given: Sequence[str] | None
) -> None:
    """Compare the names in a checkpoint with those of --classes, or else of the config.

    --classes may rename classes, but must not reorder those of the checkpoint.
    """
    if not trained:
        print_log(f'checkpoint {source} has no class names to compare with the data', 'current')
    elif given is None and len(present) == len(trained):
        difference = first_difference(trained, present)
        if difference:
            where = 'test_dataloader.dataset of the config'
            raise CheckpointError(
                f'{mismatch(source, where, difference)} Or use the config that training saved '
                'next to the checkpoint, or name the classes with --classes FILE.'
            )
    elif given is not None:
        for old, new in zip(trained, given):
            if old != new and new in trained:
                raise ConfigError(
                    f'--classes has {new!r} where checkpoint {source} has {old!r}: class '
                    f'{trained.index(new)} of the checkpoint is {new!r}. Put the lines in the '
                    f'order of training: {truncate(trained)}'
                )


def _two_classes(names: Sequence[str] | None) -> Sequence[str] | None:
    """Names of labels 0 and 1 of a segmentor with one output; datasets may name only label 1."""
    return ('background', *names) if names is not None and len(names) == 1 else names


def _meta_of_dataset(cfg: Config) -> Mapping[str, Any]:
    dataset = cfg.test_dataloader.dataset
    with DATASETS.switch_scope_and_registry(cfg.default_scope) as registry:
        kind = registry.get(dataset.type) if isinstance(dataset.type, str) else dataset.type
    return kind._load_metainfo(dataset.get('metainfo')) if kind else {}


def describe_classes(
    count: int | None, metas: Sequence[Mapping], given: Sequence[str] | None
) -> dict[str, Any]:
    """Names and colors of `count` classes, or of all that have names.

    Args:
        count: Number of classes of the model, if known.
        metas: `classes` and `palette` of datasets, by priority. Those of another length are not
            used.
        given: Names that override all others.

    Raises:
        ConfigError: The number of `given` names is not `count`.
    """
    if given is not None and count not in (None, len(given)):
        raise ConfigError(
            f'--classes has {len(given)} names, but the model of the config has {count} classes; '
            'write one line per class, in the order of training'
        )
    named = [given, *(meta.get('classes') for meta in metas)]
    fitting = (names for names in named if names and count in (None, len(names)))
    names = tuple(next(fitting, None) or map(str, range(count or 0)))
    palettes = (as_palette(meta.get('palette'), len(names)) for meta in metas)
    palette = class_colors(len(names), next((p for p in palettes if p is not None), None))
    return dict(classes=names, palette=[tuple(color) for color in palette.tolist()])


class _Prepared(NamedTuple):
    """An image that waits for its batch."""

    path: Path
    outputs: Outputs
    image: np.ndarray
    data: dict[str, Any]

    def sizes(self) -> list:
        """Sizes of the model's inputs, of all views."""
        return [tuple(view.shape) for view in as_list(self.data['inputs'])]


class ImageInferencer(CheckedInferencer):
    """For tasks on images; videos are processed frame by frame. Images are (H, W, 3)."""

    load_bands: Any = None  # the first step of the pipeline, if it is one

    @abstractmethod
    def describe(self, sample: Any) -> dict[str, Any]:
        """A prediction as JSON."""

    @abstractmethod
    def draw(self, image: np.ndarray, sample: Any, caption: str) -> np.ndarray:
        """A picture of an RGB image with its prediction and a caption above."""

    @abstractmethod
    def draw_frame(self, image: np.ndarray, sample: Any) -> np.ndarray:
        """An RGB frame with its prediction; the output size depends on the input size only."""

    def source(self, image: np.ndarray, path: Path) -> Any:
        """What the pipeline gets for an image (BGR) of a file."""
        return image

    def write_maps(self, sample: Any, outputs: Outputs, part: str = '') -> None:
        """Write label maps, if the task has any; `part` distinguishes the frames of a video."""

    def process(self, path: Path, outputs: Outputs) -> None:
        if is_moving(path):
            outputs.write_json(dict(input=str(path), **self._video(path, outputs)))
        else:
            image = self.read(path)
            self._write(path, outputs, image, self.predict(self.source(image, path)))

    def process_all(
        self, files: Iterable[tuple[Path, Outputs]]
    ) -> Iterator[tuple[Path, UnreadableError | None]]:
        """As in the base class, with images in batches.

        Consecutive images that reach the model in equal sizes share a batch, so none is padded for
        another, and predictions do not depend on the batch.
        """
        waiting: list[_Prepared] = []
        for path, outputs in files:
            if is_moving(path):
                yield from self._finish(waiting)
                yield path, self._tried(path, outputs)
                continue
            try:
                image = self.read(path)
                data = self.prepare(self.source(image, path))
                item = _Prepared(path, outputs, image, data)
            except UnreadableError as error:
                yield path, error
                continue
            if waiting and waiting[0].sizes() != item.sizes():
                yield from self._finish(waiting)
            waiting.append(item)
            if len(waiting) == self.batch_size:
                yield from self._finish(waiting)
        yield from self._finish(waiting)

    def _finish(self, waiting: list[_Prepared]) -> Iterator[tuple[Path, None]]:
        """Predict for the images that wait, and write the results."""
        samples = self.run([item.data for item in waiting]) if waiting else []
        for item, sample in zip(waiting, samples):
            self._write(item.path, item.outputs, item.image, sample)
            yield item.path, None
        waiting.clear()

    def _init_pipeline(self, cfg: Config) -> Compose:
        """The library's, or one that takes images of `LoadBands`."""
        steps = cfg.test_dataloader.dataset.pipeline
        if type_name(steps[0]) != 'LoadBands':
            return super()._init_pipeline(cfg)
        self.load_bands = TRANSFORMS.build(steps[0])
        kept = [step for step in steps[1:] if type_name(step) not in ANNOTATIONS]
        return Compose([image_results, *kept])

    def read(self, path: Path) -> np.ndarray:
        """An image (BGR) as the pipeline's LoadImageFromFile reads it, or its bands."""
        if self.load_bands is not None:
            with reading():
                return self.load_bands.read(str(path))
        try:
            check_image_file(path)
        except PixelLimitError as error:
            raise UnreadableError(error.reason) from error
        if path.suffix.lower() == '.gif':  # OpenCV cannot read it
            return np.ascontiguousarray(next(read_frames(path))[..., ::-1])
        loader = next(step for step in self.pipeline.transforms if hasattr(step, 'from_file'))
        problem = loader_problem(path) if is_default_loader(loader.from_file) else None
        if problem:
            raise UnreadableError(problem)
        with reading():
            return loader.from_file(dict(img_path=str(path)))['img']

    def _write(self, path: Path, outputs: Outputs, image: np.ndarray, sample: Any) -> None:
        self.write_maps(sample, outputs)
        if self.with_pictures:
            with outputs.picture() as draft:
                write_picture(draft, self.draw(displayable(image)[..., ::-1], sample, path.name))
        height, width = image.shape[:2]
        record = dict(height=height, width=width, **self.describe(sample))
        outputs.write_json(dict(input=str(path), **record))

    def _video(self, path: Path, outputs: Outputs) -> dict[str, Any]:
        described = []

        def predicted() -> Iterator[tuple[np.ndarray, Any]]:
            frames = read_frames(path)
            while batch := list(itertools.islice(frames, self.batch_size)):
                bgr = (np.ascontiguousarray(image[..., ::-1]) for image in batch)
                data = [self.prepare(self.source(image, path)) for image in bgr]
                for image, sample in zip(batch, self.run(data)):
                    self.write_maps(sample, outputs, f'/{len(described):06d}')
                    height, width = image.shape[:2]
                    described.append(dict(height=height, width=width, **self.describe(sample)))
                    yield image, sample

        rate = frame_rate(path)
        outputs.remove_parts('label_maps')  # an earlier run may have written more frames
        try:
            if self.with_pictures:
                with outputs.picture() as draft:
                    write_video(draft, (self.draw_frame(*pair) for pair in predicted()), rate)
            else:
                deque(predicted(), maxlen=0)
        except BaseException:
            outputs.remove_parts('label_maps')
            raise
        return dict(frames_per_second=float(rate), frames=described)
