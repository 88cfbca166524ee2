"""The page about a test of a classifier."""

from __future__ import annotations

import numpy as np

from ..reports.labels import LabelReporter


class ClassificationReporter(LabelReporter):
    """`LabelReporter` with the images."""

    def picture(self, index: int) -> np.ndarray:
        return self.image(self.dataset.get_data_info(index)['img_path'])
