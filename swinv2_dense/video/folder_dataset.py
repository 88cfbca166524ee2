"""A folder of videos with a folder per class as a data set, without a list file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmaction.datasets import VideoDataset
from mmaction.registry import DATASETS

from ..own_data.class_folders import labelled_videos


@DATASETS.register_module()
class FolderVideoDataset(VideoDataset):
    """Videos in `data_prefix['video']/CLASS/`, at any depth; the label is the place of CLASS.

    Args:
        data_prefix: `dict(video=FOLDER)`, below `data_root`.
        pipeline: Transforms, as those of `VideoDataset`.
        metainfo: `dict(classes=NAMES)`: the folders' names, those of
            `own_data.read_class_folders` of the training videos for every split. Checkpoints keep
            them.

    Raises:
        ValueError: No classes are given.
        ConfigError: Videos belong to no class, or there are none.
    """

    def __init__(
        self, data_prefix: Mapping, pipeline: Sequence, metainfo: Mapping | None = None, **kw: Any
    ) -> None:
        if not (metainfo or {}).get('classes'):
            raise ValueError('FolderVideoDataset needs metainfo=dict(classes=FOLDER_NAMES)')
        super().__init__('', pipeline, data_prefix=data_prefix, metainfo=metainfo, **kw)

    def load_data_list(self) -> list[dict]:
        """`filename` and `label` of each video."""
        videos = labelled_videos(self.data_prefix['video'], self.metainfo['classes'])
        return [dict(filename=path, label=label) for path, label in videos]
