"""What mmdet lacks. Imports mmdet; name it in `custom_imports` beside `swinv2_dense`."""

from .precision import Fp32BordersHook, keep_borders_in_fp32

__all__ = ['Fp32BordersHook', 'keep_borders_in_fp32']
