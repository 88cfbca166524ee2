"""The page about a test of a recognizer."""

from __future__ import annotations

import numpy as np

from ..drawing.clips import evenly, frames_of
from ..drawing.sheet import displayable
from ..reports.labels import LabelReporter

FRAMES = 4  # in a row


class RecognitionReporter(LabelReporter):
    """`LabelReporter` with frames of the clips."""

    def picture(self, index: int) -> np.ndarray:
        frames = frames_of(self.dataset[index]['inputs'])
        return np.concatenate(
            [displayable(frames[place]) for place in evenly(len(frames), FRAMES)], axis=1
        )
