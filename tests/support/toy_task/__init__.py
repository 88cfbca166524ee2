"""A task without a library of its own: regression of the brightness of an image.

Everything is registered in mmengine's registries. Importing the package registers the task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset, Compose
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, METRICS, MODELS, TRANSFORMS, VISUALIZERS
from mmengine.structures import BaseDataElement
from mmengine.visualization import Visualizer
from torch import Tensor, nn

from swinv2_dense.drawing.sheet import write_picture
from swinv2_dense.drawing.visualizer import PictureVisualizer
from swinv2_dense.inference.base import CheckedInferencer
from swinv2_dense.inference.outputs import Outputs
from swinv2_dense.task import Task
from swinv2_dense.tasks import register_task

CONFIG = """
default_scope = {scope!r}
custom_imports = dict(imports=['swinv2_dense', 'toy_task'])
arch = dict(embed_dims=8, depths=(1, 1), num_heads=(1, 2))
backbone = dict(type='SwinTransformerV2', arch=arch, window_size=4, out_indices=(1,))
model = dict(type='Regressor', backbone=backbone)
train_dataloader = val_dataloader = test_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='BrightnessData', data_root={root!r}, pipeline=[dict(type='LoadGray')]),
)
val_evaluator = test_evaluator = dict(type='AbsoluteError')
train_cfg = dict(by_epoch=True, max_epochs=1)
val_cfg = test_cfg = dict()
optim_wrapper = dict(
    constructor='SwinV2OptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
)
"""


def write_config(folder: Path, scope: str, name: str = 'toy.py') -> Path:
    """A config, and four gray images named after their brightness."""
    for value in (10, 90, 170, 250):
        path = folder / 'images' / f'{value}.png'
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), np.full((32, 48, 3), value, np.uint8))
    config = folder / name
    config.write_text(CONFIG.format(scope=scope, root=str(folder / 'images')))
    return config


@DATASETS.register_module()
class BrightnessData(BaseDataset):
    def load_data_list(self) -> list[dict]:
        paths = sorted(Path(self.data_root).glob('*.png'))
        return [dict(img_path=str(path), brightness=int(path.stem) / 255) for path in paths]


@TRANSFORMS.register_module()
class LoadGray:
    def __call__(self, results: dict) -> dict:
        image = torch.from_numpy(cv2.imread(results['img_path'])).permute(2, 0, 1) / 255
        sample = BaseDataElement(metainfo=dict(img_path=results['img_path']))
        sample.truth = results.get('brightness')
        return dict(inputs=image, data_samples=sample)


@MODELS.register_module()
class Regressor(BaseModel):
    def __init__(self, backbone: Mapping, data_preprocessor: Mapping | None = None) -> None:
        super().__init__(data_preprocessor)
        self.backbone = MODELS.build(backbone)
        self.last = nn.Linear(self.backbone.out_channels[-1], 1)

    def forward(
        self, inputs: list[Tensor], data_samples: list[BaseDataElement], mode: str = 'tensor'
    ) -> Any:
        (features,) = self.backbone(torch.stack(inputs))
        values = self.last(features.mean(dim=(2, 3)))[:, 0]
        if mode == 'loss':
            truth = values.new_tensor([sample.truth for sample in data_samples])
            return dict(loss=(values - truth).square().mean())
        for sample, value in zip(data_samples, values):
            sample.prediction = float(value)
        return data_samples


@METRICS.register_module()
class AbsoluteError(BaseMetric):
    default_prefix = 'brightness'

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        self.results += [abs(sample['prediction'] - sample['truth']) for sample in data_samples]

    def compute_metrics(self, results: list) -> dict[str, float]:
        return dict(error=float(np.mean(results)))


@VISUALIZERS.register_module()
class BrightnessVisualizer(PictureVisualizer, Visualizer):
    def picture(
        self, image: np.ndarray, data_sample: BaseDataElement, *args: Any, **kwargs: Any
    ) -> np.ndarray:
        return draw(image, data_sample.prediction)


def draw(image: np.ndarray, value: float) -> np.ndarray:
    drawn = np.array(image)
    drawn[:4, : 1 + int(47 * np.clip(value, 0, 1))] = (255, 0, 0)
    return drawn


class BrightnessInferencer(CheckedInferencer):
    def process(self, path: Path, outputs: Outputs) -> None:
        sample = self.predict(dict(img_path=str(path)))
        with outputs.picture() as draft:
            write_picture(draft, draw(cv2.imread(str(path)), sample.prediction))
        outputs.write_json(dict(input=str(path), brightness=sample.prediction))

    def _init_pipeline(self, cfg: Config) -> Callable:
        return Compose(cfg.test_dataloader.dataset.pipeline)

    def visualize(self, *args: Any, **kwargs: Any) -> None:
        """Abstract in mmengine's class; `process` takes its place."""

    def postprocess(self, *args: Any, **kwargs: Any) -> None:
        """See `visualize`."""


class BrightnessTask(Task):
    name = 'regressor'
    samples = 'images'
    visualizers = ('Visualizer', 'BrightnessVisualizer')

    def draw_sample(self, sample: dict, metainfo: dict, caption: str) -> np.ndarray:
        image = (255 * sample['inputs']).permute(1, 2, 0).to(torch.uint8).numpy()
        return draw(image, sample['data_samples'].truth)

    def build_inferencer(
        self, cfg: Config, device: str, classes: Sequence[str] | None, score_thr: float
    ) -> BrightnessInferencer:
        return BrightnessInferencer(cfg, device, classes)


for scope in ('toy_task', 'swinv2_dense'):
    register_task(scope, BrightnessTask())
