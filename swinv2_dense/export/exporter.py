"""Export a model at several sizes, and prove each file."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..choices import DTYPES
from ..errors import ConfigError
from ..task import Task
from .graph import ExportInputs, Graph, Preprocess, example_inputs, feature_maps
from .metadata import Metadata, digest
from .proof import TOLERANCES, Proof, map_differences, proof_image, timed
from .quantize import quantize_linear
from .reading import ExportedFile
from .weights import bake_position_bias, narrow_weights
from .writing import FORMATS, exporter_name, trace


@dataclass(frozen=True)
class Settings:
    """What the command line asks for, and the origin of the model."""

    format: str  # of `FORMATS`
    sizes: Sequence[Sequence[int]]  # ((T,) H, W) of each file
    part: str
    raw: bool
    dtype: str  # of `TOLERANCES`
    image: Path | None  # for the proof
    stem: str  # of file names
    checkpoint: str  # file name
    scope: str
    config: str  # see `Metadata`

    def file_name(self, size: Sequence[int]) -> str:
        """Such as mask-rcnn-800x1344-fp16.onnx."""
        parts = [self.stem, 'x'.join(map(str, size[-2:]))]
        parts += [self.part] if self.part != 'model' else []
        parts += ['raw'] if self.raw else []
        parts += [self.dtype] if self.dtype != 'fp32' else []
        return '-'.join(parts) + FORMATS[self.format].suffix


class Exporter:
    """Writes a file per size and compares it with the model.

    Args:
        model: With its weights, in eval mode; changed.
        model_cfg: Its config.
        task: Of the model.
        settings: See `Settings`.

    Raises:
        ConfigError: The model cannot be exported, or the image of the proof cannot be read.
    """

    def __init__(
        self, model: nn.Module, model_cfg: Mapping[str, Any], task: Task, settings: Settings
    ) -> None:
        self.model, self.model_cfg, self.task = model.requires_grad_(False), model_cfg, task
        self.settings = settings
        self.has_predictions = settings.part == 'model' and not settings.raw
        self.preprocess = dict(model_cfg.get('data_preprocessor') or {})
        channels = _channels(model, self.preprocess)
        self.images = [proof_image(settings.image, size, channels) for size in settings.sizes]
        self.is_clip = len(settings.sizes[0]) == 3
        # Before cores replace parts of the model.
        self.predicted = [self._predicted(image) for image in self.images]
        preprocess = None if settings.raw else Preprocess(self.preprocess)
        self.graphs, self.examples = [], []
        for size in settings.sizes:
            if settings.part == 'model':
                core = task.export_core(model, settings.raw)
            else:
                core = feature_maps(model, settings.part, torch.zeros(1, channels, *size))
            graph = Graph(core, preprocess).eval()
            self.graphs.append(graph)
            self.examples.append(example_inputs(graph, channels, size))

    def export_all(self, folder: Path) -> Iterator[str]:
        """Write and prove the files; yields what to print.

        Raises:
            ConfigError: The exporter fails, or a file differs from the model.
        """
        # Before the weights are narrowed.
        expected = [self._outputs(graph, image) for graph, image in zip(self.graphs, self.images)]
        if self.settings.dtype in ('fp16', 'bf16'):
            narrow_weights(self.model, getattr(torch, DTYPES[self.settings.dtype]))
        for index, size in enumerate(self.settings.sizes):
            path = folder / self.settings.file_name(size)
            start = time.perf_counter()
            self._write(self.graphs[index], self.examples[index], size, path)
            seconds = time.perf_counter() - start
            kind = FORMATS[self.settings.format]
            opset = f', opset {kind.opset}' if kind.opset else ''
            shape = ' x '.join(map(str, size))
            yield f'{shape}: written by {exporter_name(kind)}{opset} in {seconds:.0f} s'
            proof = self._prove(path, index, *expected[index])
            if not proof.differences:
                raise ConfigError(
                    'the model finds nothing on the image of the comparison, so the file cannot be '
                    'compared with it and is not kept; give --image FILE with objects'
                )
            yield f'{shape}: {proof}'
            if not proof.holds:
                raise ConfigError(
                    f'the exported file differs from the model by more than {proof.tolerance:g}, '
                    'so it is not kept'
                )

    def _inputs(self, image: Tensor) -> dict[str, Tensor]:
        """The inputs of a graph for an image (C, S...) as decoded."""
        batch = image[None]
        if self.settings.raw:
            return dict(image=Preprocess(self.preprocess)(batch))
        if not self.preprocess.get('mean'):
            batch = batch.float()
        if self.is_clip:
            return dict(image=batch)
        return dict(image=batch, image_size=torch.tensor([image.shape[-2:]]))

    def _outputs(self, graph: Graph, image: Tensor) -> tuple[tuple[Tensor, ...], float]:
        """Outputs of a graph, and seconds."""
        inputs = self._inputs(image)
        with torch.no_grad():
            return timed(lambda: graph(*inputs.values()))

    def _predicted(self, image: Tensor) -> tuple[Any, float] | None:
        """Predictions of the model and seconds, if the file will have predictions."""
        if not self.has_predictions:
            return None
        return timed(lambda: self._predictions(self.model, image))

    def _predictions(self, model: Any, image: Tensor) -> Any:
        with torch.no_grad():
            return model.test_step(self.task.export_batch(image))[0]

    def _write(self, graph: Graph, example: ExportInputs, size: Sequence[int], path: Path) -> None:
        kind = FORMATS[self.settings.format]
        tensors = [t[:1] for t in example.tensors.values()]
        bake_position_bias(graph, lambda: graph(*tensors))
        program = trace(graph, example)
        settings = self.settings
        files = [[settings.file_name(s), *s[-2:]] for s in settings.sizes]
        mean, std = (self.preprocess.get(key) for key in ('mean', 'std'))
        metadata = Metadata(
            default_scope=settings.scope,
            part=settings.part,
            raw=settings.raw,
            size=list(size),
            classes=list(map(str, self.model.dataset_meta['classes'])),
            channel_order='rgb' if self.is_clip else 'bgr',
            mean=mean and list(map(float, mean)),
            std=std and list(map(float, std)),
            dtype=settings.dtype,
            outputs=list(graph.core.names),
            config=settings.config,
            config_digest=digest(settings.config),
            checkpoint=settings.checkpoint,
            exporter=exporter_name(kind),
            opset=kind.opset,
            files=files,
        )
        kind.write(program, example, path, metadata)
        if settings.dtype == 'int8':
            quantize_linear(path)

    def _prove(self, path: Path, index: int, outputs: tuple[Tensor, ...], seconds: float) -> Proof:
        """Compare a file with the outputs of its graph, which took `seconds`."""
        graph, image = self.graphs[index], self.images[index]
        file = ExportedFile(path)
        found, file_seconds = timed(lambda: file.run(self._inputs(image)))
        differences = {}
        if graph.core.comparable:
            differences.update(map_differences(graph.core.names, outputs, found))
        if self.predicted[index] is not None:
            predictions, seconds = self.predicted[index]
            config = dict(type=self.task.exported_model, file=str(path), model=self.model_cfg)
            exported = MODELS.build(config).eval()
            other = self._predictions(exported, image)
            differences.update(self.task.export_differences(predictions, other))
        tolerance = TOLERANCES[self.settings.dtype]
        return Proof(differences, tolerance, file_seconds, seconds)


def _channels(model: nn.Module, preprocess: Mapping[str, Any]) -> int:
    """Channels of the input."""
    projection = getattr(getattr(model.backbone, 'patch_embed', None), 'proj', None)
    return (
        projection.in_channels if projection is not None else len(preprocess.get('mean') or 'rgb')
    )
