"""The first step of a test pipeline, for images in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import TRANSFORMS

from ..errors import ConfigError


def image_results(image: np.ndarray, path: str | None = None) -> dict[str, Any]:
    """What loading an image (H, W, C) returns."""
    size = image.shape[:2]
    return dict(img=image, img_shape=size, ori_shape=size, img_path=path)


class LoadedImage:
    """Takes the place of the loader of a pipeline.

    Args:
        loader: Config of the loader; `from_file` is the loader itself.

    Raises:
        ConfigError: It does not load images from files.
    """

    def __init__(self, loader: Mapping[str, Any]) -> None:
        self.from_file = TRANSFORMS.build(loader)
        if not isinstance(self.from_file, LoadImageFromFile):
            raise ConfigError(
                'test_dataloader.dataset.pipeline must begin with LoadImageFromFile, not '
                f'{type(self.from_file).__name__}, for inference on files'
            )

    def __call__(self, results: Mapping[str, Any]) -> dict[str, Any]:
        """The keys of the loader for `img` and `img_path`."""
        return image_results(results['img'], results['img_path'])


def pipeline_for_loaded(cfg: Config) -> Compose:
    """The test pipeline of a config, which takes dicts of `img` and `img_path`."""
    first, *steps = cfg.test_dataloader.dataset.pipeline
    return Compose([LoadedImage(first), *steps])
