"""Inference on files with mmaction2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmaction.apis.inferencers import ActionRecogInferencer
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.dataset import Compose

from ..drawing.clips import labelled
from ..drawing.style import Style
from ..drawing.video import write_video
from ..inference.base import CheckedInferencer
from ..inference.outputs import Outputs
from ..inference.video_files import frame_rate, read_frames


class RecognitionInferencer(CheckedInferencer, ActionRecogInferencer):
    """Predicts the top classes of each video, over the views of the test pipeline."""

    def process(self, path: Path, outputs: Outputs) -> None:
        scores = self.predict(str(path)).pred_score
        top = self.top(scores)
        style = Style.of(self.model.dataset_meta)
        lines = [f'{entry["score"]:.3f}  {style.name(entry["label"])}' for entry in top]
        rate = frame_rate(path)
        if self.with_pictures:
            with outputs.picture() as draft:
                write_video(draft, (labelled(frame, lines) for frame in read_frames(path)), rate)
        outputs.write_json(dict(input=str(path), top=top))

    def plain(self, sample: ActionDataSample) -> dict[str, Any]:
        return self.plain_scores(sample.pred_score)

    def _init_pipeline(self, cfg: Config) -> Compose:
        """The config's pipeline; mmaction2's class supports one view and only decord."""
        pack = dict(type='InferencerPackInput', input_format='video')
        return Compose([pack, *cfg.test_dataloader.dataset.pipeline])
