"""A dataset from videos in one folder per class, without a list file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmaction.datasets import VideoDataset
from mmaction.registry import DATASETS

from ..own_data.class_folders import labelled_videos


@DATASETS.register_module()
class FolderVideoDataset(VideoDataset):
    """Videos in `data_prefix['video']/CLASS/`, at any depth; labels index the list of classes.

    Args:
        data_prefix: `dict(video=FOLDER)`, below `data_root`.
        pipeline: Transforms, as for `VideoDataset`.
        metainfo: `dict(classes=NAMES)`, for every split the result of `own_data.read_class_folders`
            for the training videos. Checkpoints store them.

    Raises:
        ValueError: No classes are given.
        ConfigError: Some videos have no class, or there are no videos.
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
