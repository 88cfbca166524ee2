"""Extensions for mmseg, which it imports; list it in `custom_imports` next to `swinv2_dense`."""

from .. import transforms
from .folder_dataset import FolderSegDataset
from .tiled_inference import TiledEncoderDecoder
from .tta import TiledSegTTAModel
from .visualization import LegendSegVisualizer

__all__ = [
    'FolderSegDataset',
    'LegendSegVisualizer',
    'TiledEncoderDecoder',
    'TiledSegTTAModel',
    'transforms',
]
