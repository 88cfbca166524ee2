"""Self-supervised pre-training. Name it in `custom_imports` beside `swinv2_dense`."""

from ..registry import scope_registries
from .clips import ClipDataPreprocessor
from .datasets import UnlabeledImages, UnlabeledVideos
from .masks import PackMaskedInputs, RandomUnitMask
from .metrics import MaskedL1
from .simmim import SimMIM
from .visualization import ReconstructionVisualizer

REGISTRIES = scope_registries('swinv2_pretraining')

__all__ = [
    'ClipDataPreprocessor',
    'MaskedL1',
    'PackMaskedInputs',
    'RandomUnitMask',
    'ReconstructionVisualizer',
    'SimMIM',
    'UnlabeledImages',
    'UnlabeledVideos',
    'REGISTRIES',
]
