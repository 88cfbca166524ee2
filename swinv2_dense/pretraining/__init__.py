"""Self-supervised pre-training. Name it in `custom_imports` beside `swinv2_dense`."""

from .masks import PackMaskedInputs, RandomUnitMask
from .simmim import SimMIM

__all__ = ['PackMaskedInputs', 'RandomUnitMask', 'SimMIM']
