"""What mmaction2 lacks. Imports mmaction; name it in `custom_imports` beside `swinv2_dense`."""

from .visualization import ViewVisualizationHook

__all__ = ['ViewVisualizationHook']
