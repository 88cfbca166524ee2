"""What is exported: preprocessing, then a part of a model, as one module with tensors in and out.

Legend: B images or clips, C channels, S... their axes (H, W or T, H, W).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ConfigError

REORDER = ('bgr_to_rgb', 'rgb_to_bgr', 'to_rgb')  # arguments of the libraries' preprocessors


class Core(nn.Module):
    """The exported part of a model, (B, C, S...) normalized -> a tuple of tensors.

    `names` are those of its outputs. With `dynamic_batch`, B is free. With `takes_image_size`,
    `forward` also takes the height and width (B, 2) that the image fills; beyond, it is padded.
    Outputs are `comparable` if the order of their elements does not depend on rounding.
    """

    names: tuple[str, ...] = ()
    dynamic_batch = True
    takes_image_size = False
    comparable = True


class FeatureMaps(Core):
    """Maps of the backbone, or of the neck."""

    def __init__(self, model: nn.Module, part: str, count: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList([model.backbone])
        if part == 'neck':
            self.parts.append(model.neck)
        self.names = tuple(f'{part}_{index}' for index in range(count))

    def forward(self, x: Any) -> tuple[Tensor, ...]:
        for part in self.parts:
            x = part(x)
        return (x,) if isinstance(x, Tensor) else tuple(x)


def feature_maps(model: nn.Module, part: str, example: Tensor) -> FeatureMaps:
    """`FeatureMaps` with a name for each map that an `example` input gives.

    Raises:
        ConfigError: The model has no such part.
    """
    if getattr(model, part, None) is None:
        raise ConfigError(f'--part={part}: {type(model).__name__} has no {part}; use --part model')
    with torch.no_grad():
        count = len(FeatureMaps(model, part, 0)(example))
    return FeatureMaps(model, part, count)


class Preprocess(nn.Module):
    """Images as decoded -> normalized, with zeros beyond the size that each image fills.

    Args:
        settings: Config of a data preprocessor, of which mean, std and the order of channels count.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.reorder = any(settings.get(key) for key in REORDER)
        self.normalizes = settings.get('mean') is not None
        for name in ('mean', 'std'):
            values = settings.get(name) if self.normalizes else [0.0]
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32))

    @property
    def dtype(self) -> torch.dtype:
        """Of images: bytes, or floats where the pipeline normalizes them."""
        return torch.uint8 if self.normalizes else torch.float32

    def forward(self, image: Tensor, image_size: Tensor | None = None) -> Tensor:
        """(B, C, S...) and (B, 2) -> (B, C, S...) in fp32."""
        x = image.float()
        if self.reorder:
            x = torch.cat([x[:, 2:3], x[:, 1:2], x[:, 0:1]], dim=1)
        if self.normalizes:
            shape = (-1, *[1] * (x.dim() - 2))
            x = (x - self.mean.view(shape)) / self.std.view(shape)
        if image_size is not None:
            rows = torch.arange(x.shape[-2]) < image_size[:, :1]
            columns = torch.arange(x.shape[-1]) < image_size[:, 1:]
            x = x * (rows[:, None, :, None] & columns[:, None, None, :])
        return x


class Graph(nn.Module):
    """`Preprocess`, unless the input is normalized, and a `Core`."""

    def __init__(self, core: Core, preprocess: Preprocess | None) -> None:
        super().__init__()
        self.core, self.preprocess = core, preprocess

    def forward(self, image: Tensor, image_size: Tensor | None = None) -> tuple[Tensor, ...]:
        x = image if self.preprocess is None else self.preprocess(image, image_size)
        return self.core(x, image_size) if self.core.takes_image_size else self.core(x)


@dataclass(frozen=True)
class ExportInputs:
    """Example inputs of a graph by name, and which have a free first axis."""

    tensors: dict[str, Tensor]
    dynamic_batch: bool

    def dynamic_shapes(self) -> tuple | None:
        """For torch.export."""
        batch = {0: torch.export.Dim('batch')}
        return tuple(batch for _ in self.tensors) if self.dynamic_batch else None


def example_inputs(graph: Graph, channels: int, size: Sequence[int]) -> ExportInputs:
    """Noise of a size ((T,) H, W); two images where their number is free, since torch.export would
    specialize for one."""
    batch = 2 if graph.core.dynamic_batch else 1
    shape = (batch, channels, *size)
    if graph.preprocess is None:
        return ExportInputs(dict(image=torch.randn(shape)), graph.core.dynamic_batch)
    noise = torch.rand(shape).mul(255).to(graph.preprocess.dtype)
    tensors = dict(image=noise)
    if len(size) == 2:
        tensors['image_size'] = torch.tensor([list(size)] * batch)
    return ExportInputs(tensors, graph.core.dynamic_batch)
