"""Extensions for mmaction2, imported here; list it in `custom_imports` next to `swinv2_dense`."""

from .attentive_probe import AttentiveProbeHead
from .augment import VideoRandAugment, VideoRandomErasing
from .crops import UniformCrops
from .decoding import VideoDecode, VideoInit
from .folder_dataset import FolderVideoDataset
from .precision import Fp32ScoresHook
from .recognizer import ChunkedRecognizer3D
from .visualization import ClipVisualizer

__all__ = [
    'AttentiveProbeHead',
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
