"""An image classifier: a backbone and a head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from torch import Tensor

from ..arguments import Pretrained, pretrained
from ..checkpoints.classifiers import load_classifier
from ..choices import IMAGENET_1K_ROWS
from .imagenet import rows_of_imagenet1k
from .samples import ClassificationSample


@MODELS.register_module()
class ImageClassifier(BaseModel):
    """A backbone whose last map a head classifies.

    Its parameters are `backbone.*` and `head.fc.*`, as in mmpretrain's class of the name.

    Args:
        backbone: Config of a backbone, (B, 3, H, W) -> maps (B, C, H', W').
        head: Config of a head such as `LinearHead`.
        data_preprocessor: As in `BaseModel`, usually mmengine's `ImgDataPreprocessor`.
        train_augment: Config of an augmentation of training batches such as `MixupCutmix`.
        init_cfg: As in `BaseModel`. `dict(type='Pretrained', checkpoint=...)` loads a SwinV2
            backbone and its head from any known format, with `prefix`, `allow_missing` and
            `head_rows` of `checkpoints.classifiers.load_classifier`. `head_rows='imagenet1k'` are
            the rows of a head for ImageNet-22K that belong to ImageNet-1K.
    """

    INIT_SETTINGS = (*Pretrained._fields, 'head_rows')  # of init_cfg, for the check of configs

    def __init__(
        self,
        backbone: dict,
        head: dict,
        data_preprocessor: dict | None = None,
        train_augment: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = MODELS.build(backbone)
        self.head = MODELS.build(head)
        self.train_augment = MODELS.build(train_augment) if train_augment else None

    def init_weights(self) -> None:
        """Load `init_cfg=dict(type='Pretrained', ...)`; mmengine handles other initializers."""
        init_cfg = self.init_cfg
        settings = dict(init_cfg) if isinstance(init_cfg, dict) else {}
        head_rows = settings.pop('head_rows', None)
        found = pretrained(settings)
        if found is None or not hasattr(self.backbone, 'set_pretrained_window_sizes'):
            super().init_weights()
            return
        if settings.get('allow_missing'):  # such as a head
            self.init_cfg = None
            super().init_weights()
            self.init_cfg = init_cfg
        rows = rows_of_imagenet1k() if head_rows == IMAGENET_1K_ROWS else head_rows
        load_classifier(self, *found, head_rows=rows)
        self._is_init = True

    def forward(
        self,
        inputs: Tensor,
        data_samples: Sequence[ClassificationSample] | None = None,
        mode: str = 'tensor',
    ) -> dict[str, Tensor] | list[ClassificationSample] | Tensor:
        """Losses, samples with predictions or logits (B, N) for images (B, 3, H, W).

        Args:
            inputs: Images as the data preprocessor returns them.
            data_samples: With `gt_label` for the loss; optional for predictions.
            mode: 'loss', 'predict' or 'tensor'.

        Raises:
            ValueError: Another mode.
        """
        if mode == 'loss':
            return self.loss(inputs, data_samples or ())
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        if mode == 'tensor':
            return self.head(self.backbone(inputs))
        raise ValueError(f"mode={mode!r} must be 'loss', 'predict' or 'tensor'")

    def loss(self, inputs: Tensor, data_samples: Sequence[ClassificationSample]) -> dict:
        """Losses of the head for labelled images."""
        target = torch.cat([sample.gt_label for sample in data_samples]).to(inputs.device)
        if self.train_augment is not None:
            inputs, target = self.train_augment(inputs, target, self.head.num_classes)
        return self.head.loss(self.backbone(inputs), target)

    def predict(
        self, inputs: Tensor, data_samples: Sequence[ClassificationSample] | None = None
    ) -> list[ClassificationSample]:
        """The samples with `pred_score` and `pred_label`."""
        scores = self.head(self.backbone(inputs)).float().softmax(dim=1)
        samples = list(data_samples or (ClassificationSample() for _ in scores))
        return [sample.set_scores(score) for sample, score in zip(samples, scores)]
