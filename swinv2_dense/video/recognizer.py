"""Test recognizers with memory that does not grow with the number of views.

mmaction2 converts all views of a batch to normalized floats first, and its `max_testing_views` only
supports batches of one video. Legend: N videos, V views of each (clips x crops), C channels, T
frames, H, W.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from mmaction.models import Recognizer3D
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.model import stack_batch
from torch import Tensor


@MODELS.register_module()
class ChunkedRecognizer3D(Recognizer3D):
    """mmaction2's `Recognizer3D`, tested with bounded memory; takes its arguments.

    `test_cfg.max_testing_views` views at a time, of one or several videos, are moved to the device,
    normalized and passed through backbone, neck and head. The other views stay as loaded, in uint8.
    Scores equal those of all views at once within rounding (the summation order of a matrix product
    may depend on the number of rows). Without `max_testing_views` it tests like `Recognizer3D`.

    Raises:
        ValueError: `max_testing_views` is not a positive integer.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.test_cfg = dict(self.test_cfg or {})
        # Removed, because `extract_feat` would reject chunks with views of several videos.
        self.max_testing_views = limit = self.test_cfg.pop('max_testing_views', None)
        if limit is not None and (type(limit) is not int or limit < 1):
            raise ValueError(
                f'model.test_cfg.max_testing_views={limit!r} must be a positive integer; remove it '
                'to test all views at once'
            )

    def val_step(self, data: dict) -> list[ActionDataSample]:
        """Validate like `test_step`."""
        return self.test_step(data)

    def test_step(self, data: dict) -> list[ActionDataSample]:
        """A batch with inputs N x (V, C, T, H, W) -> samples with predictions."""
        if self.max_testing_views is None:
            return super().test_step(data)
        views = views_of(data['inputs'])
        samples = self.data_preprocessor.cast_data(data['data_samples'])
        return self._predict(map(self._preprocess, self._chunks(views)), samples)

    def predict(
        self, inputs: Tensor, data_samples: list[ActionDataSample], **kwargs: Any
    ) -> list[ActionDataSample]:
        """Preprocessed views (N, V, C, T, H, W) -> samples with predictions."""
        if self.max_testing_views is None:
            return super().predict(inputs, data_samples, **kwargs)
        return self._predict(self._chunks(views_of(inputs)), data_samples)

    def _chunks(self, views: list[Tensor]) -> Iterator[Tensor]:
        """Yield the views in chunks (1, at most `max_testing_views`, C, T, H, W)."""
        for start in range(0, len(views), self.max_testing_views):
            yield torch.stack(views[start : start + self.max_testing_views])[None]

    def _preprocess(self, chunk: Tensor) -> Tensor:
        return self.data_preprocessor(dict(inputs=list(chunk), data_samples=None))['inputs']

    def _predict(
        self, chunks: Iterable[Tensor], samples: list[ActionDataSample]
    ) -> list[ActionDataSample]:
        """Compute scores by chunks; the head averages over the views of each video."""
        scores = []
        for chunk in chunks:
            features, head_kwargs = self.extract_feat(chunk, test_mode=True)
            scores.append(self.cls_head(features, **head_kwargs))
        return self.cls_head.predict_by_feat(torch.cat(scores), samples)


def views_of(inputs: Sequence[Tensor] | Tensor) -> list[Tensor]:
    """N x (V, C, T, H, W) -> N * V views (C, T, H, W), without copies if all sizes are equal.

    Otherwise they are padded at the right and the bottom, as in mmaction2's data preprocessor.

    Raises:
        ValueError: Videos of a batch have different numbers of views.
    """
    counts = [len(sample) for sample in inputs]
    if len(set(counts)) > 1:
        raise ValueError(
            f'the videos of a batch have {counts} views; set test_dataloader.batch_size=1, or make '
            'the test pipeline return equally many views of every video'
        )
    if len({sample.shape for sample in inputs}) > 1:
        inputs = stack_batch(list(inputs))
    return [view for sample in inputs for view in sample]
