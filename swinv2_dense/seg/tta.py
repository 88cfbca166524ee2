"""Test-time augmentation of segmentors: views at several scales, flipped or not."""

from __future__ import annotations

from mmengine.structures import PixelData
from mmseg.models import SegTTAModel
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from .tiled_inference import View, label_map


@MODELS.register_module()
class TiledSegTTAModel(SegTTAModel):
    """mmseg's `SegTTAModel` with bounded memory for any number of views; takes its arguments.

    All views advance together, band by band of the original image, and each keeps the windows of
    its own band. Wraps `TiledEncoderDecoder` or `EncoderDecoder`. Labels are those of
    `SegTTAModel`, but where classes tie within rounding, and but for one class: mmseg applies the
    sigmoid twice there, so that every pixel is above a threshold of 0.5.
    """

    def test_step(self, data: dict) -> list[SegDataSample]:
        """Batches of all views, a list per key -> the first view's samples with `pred_sem_seg`."""
        batches = [
            self.module.data_preprocessor({key: value[i] for key, value in data.items()}, False)
            for i in range(len(data['inputs']))
        ]
        samples = batches[0]['data_samples']
        for i, sample in enumerate(samples):
            views = [
                View(self.module, batch['inputs'][i : i + 1], batch['data_samples'][i].metainfo)
                for batch in batches
            ]
            sample.pred_sem_seg = PixelData(data=label_map(self.module, views)[None])
        return samples
