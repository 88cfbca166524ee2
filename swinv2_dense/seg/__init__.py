"""What mmseg lacks. Imports mmseg; name it in `custom_imports` beside `swinv2_dense`."""

from .folder_dataset import FolderSegDataset
from .tiled_inference import TiledEncoderDecoder
from .tta import TiledSegTTAModel
from .visualization import LegendSegVisualizer

__all__ = ['FolderSegDataset', 'LegendSegVisualizer', 'TiledEncoderDecoder', 'TiledSegTTAModel']
