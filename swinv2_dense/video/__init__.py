"""What mmaction2 lacks. Imports mmaction; name it in `custom_imports` beside `swinv2_dense`."""

from .augment import VideoRandAugment, VideoRandomErasing
from .crops import UniformCrops
from .decoding import VideoDecode, VideoInit
from .folder_dataset import FolderVideoDataset
from .precision import Fp32ScoresHook
from .recognizer import ChunkedRecognizer3D
from .visualization import ClipVisualizer

__all__ = [
    'ChunkedRecognizer3D',
    'ClipVisualizer',
    'UniformCrops',
    'FolderVideoDataset',
    'Fp32ScoresHook',
    'VideoDecode',
    'VideoInit',
    'VideoRandAugment',
    'VideoRandomErasing',
]
