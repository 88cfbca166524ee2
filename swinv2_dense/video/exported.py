"""Recognizers as exported files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmaction.models import Recognizer3D
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.model import BaseModel
from torch import Tensor

from ..errors import ConfigError
from ..export.graph import Core
from ..export.model import ExportedRunner, plain_preprocessor
from .recognizer import views_of


class RecognizerCore(Core):
    """Clips -> `logits` (B, N) and, unless `raw`, their softmax as `scores`; one clip is one view.

    Raises:
        ConfigError: The model is not a backbone and a head that takes its map.
    """

    def __init__(self, model: Recognizer3D, raw: bool) -> None:
        super().__init__()
        if not isinstance(model, Recognizer3D) or model.with_neck:
            neck = ' with a neck' if getattr(model, 'with_neck', False) else ''
            raise ConfigError(
                f'{type(model).__name__}{neck} cannot be exported; recognizers of a backbone and a '
                'head can: use --part backbone'
            )
        if (model.test_cfg or {}).get('fcn_test'):
            raise ConfigError('model.test_cfg.fcn_test=True cannot be exported; set it to False')
        self.backbone, self.head = model.backbone, model.cls_head
        self.names = ('logits',) if raw else ('logits', 'scores')

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        logits = self.head(self.backbone(x)).float()
        return (logits, logits.softmax(dim=1))[: len(self.names)]


@MODELS.register_module()
class ExportedRecognizer(BaseModel):
    """Predicts with an exported file, one view of a video after the other.

    Args:
        file: Path of the file.
        model: Config of the model that was exported.
    """

    def __init__(self, file: str, model: Mapping[str, Any]) -> None:
        super().__init__(plain_preprocessor(model))
        self.runner = ExportedRunner(file)
        self.cls_head = MODELS.build(model['cls_head'])  # averages over views

    def forward(
        self,
        inputs: Tensor,
        data_samples: Sequence[ActionDataSample] | None = None,
        mode: str = 'predict',
    ) -> list[ActionDataSample]:
        """Views (N, V, C, T, H, W) as decoded -> samples with scores averaged over the views."""
        logits = [self.runner(view[None])[0]['logits'] for view in views_of(inputs)]
        samples = list(data_samples or (ActionDataSample() for _ in inputs))
        return self.cls_head.predict_by_feat(torch.cat(logits), samples)
