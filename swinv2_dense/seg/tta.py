"""Test-time augmentation of segmentors with bounded memory."""

from __future__ import annotations

from mmengine.structures import PixelData
from mmseg.models import SegTTAModel
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from .tiled_inference import TiledView, label_map


@MODELS.register_module()
class TiledSegTTAModel(SegTTAModel):
    """mmseg's `SegTTAModel` with bounded memory for any number of views; takes its arguments.

    All views advance together through bands of the original image, and each keeps the windows of
    its band. Wraps `TiledEncoderDecoder` or `EncoderDecoder`. Labels are those of `SegTTAModel`
    with two exceptions: classes that tie within rounding, and models with one class, for which
    mmseg applies the sigmoid twice, so that every pixel is above a threshold of 0.5.
    """

    def test_step(self, data: dict) -> list[SegDataSample]:
        """Batches of all views (a list per key) -> samples of the first with `pred_sem_seg`."""
        batches = [
            self.module.data_preprocessor({key: value[i] for key, value in data.items()}, False)
            for i in range(len(data['inputs']))
        ]
        samples = batches[0]['data_samples']
        for i, sample in enumerate(samples):
            views = [
                TiledView(
                    self.module, batch['inputs'][i : i + 1], batch['data_samples'][i].metainfo
                )
                for batch in batches
            ]
            sample.pred_sem_seg = PixelData(data=label_map(self.module, views)[None])
        return samples
