"""Testing of recognizers whose memory does not grow with the number of views.

mmaction2 normalizes all views of a batch to floats before the model, and its `max_testing_views`
takes batches of one video only. Legend: N videos, V views of each (clips x crops), C channels,
T frames, H, W.
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

    `test_cfg.max_testing_views` views at a time, of one video or of several, are moved to the
    device, normalized and go through backbone, neck and head. The other views stay as they were
    loaded, which is uint8. Scores are those of all views at once, within rounding (a matrix product
    may add in another order for another number of rows). Without `max_testing_views` it tests as
    `Recognizer3D` does.

    Raises:
        ValueError: `max_testing_views` is no number of at least 1.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.test_cfg = dict(self.test_cfg or {})
        # Taken out, as `extract_feat` would refuse chunks that hold views of several videos.
        self.max_testing_views = limit = self.test_cfg.pop('max_testing_views', None)
        if limit is not None and (type(limit) is not int or limit < 1):
            raise ValueError(
                f'model.test_cfg.max_testing_views={limit!r} must be a number of views, at '
                'least 1; leave it out to test all views at once'
            )

    def val_step(self, data: dict) -> list[ActionDataSample]:
        """Validation is as testing."""
        return self.test_step(data)

    def test_step(self, data: dict) -> list[ActionDataSample]:
        """Batch of a data loader, with inputs N x (V, C, T, H, W) -> samples with predictions."""
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
        """Yield the views, (1, at most `max_testing_views`, C, T, H, W) at a time."""
        for start in range(0, len(views), self.max_testing_views):
            yield torch.stack(views[start : start + self.max_testing_views])[None]

    def _preprocess(self, chunk: Tensor) -> Tensor:
        return self.data_preprocessor(dict(inputs=list(chunk), data_samples=None))['inputs']

    def _predict(
        self, chunks: Iterable[Tensor], samples: list[ActionDataSample]
    ) -> list[ActionDataSample]:
        """Score chunk by chunk; the head averages over the views of each video."""
        scores = []
        for chunk in chunks:
            features, head_kwargs = self.extract_feat(chunk, test_mode=True)
            scores.append(self.cls_head(features, **head_kwargs))
        return self.cls_head.predict_by_feat(torch.cat(scores), samples)


def views_of(inputs: Sequence[Tensor] | Tensor) -> list[Tensor]:
    """N x (V, C, T, H, W) -> N * V views (C, T, H, W), not copied where all have one size.

    Others are padded at the right and the bottom, as mmaction2's data preprocessor does.

    Raises:
        ValueError: Videos of a batch have different numbers of views.
    """
    counts = [len(sample) for sample in inputs]
    if len(set(counts)) > 1:
        raise ValueError(
            f'the videos of a batch have {counts} views; set test_dataloader.batch_size=1, or let '
            'the test pipeline make as many views of every video'
        )
    if len({sample.shape for sample in inputs}) > 1:
        inputs = stack_batch(list(inputs))
    return [view for sample in inputs for view in sample]
