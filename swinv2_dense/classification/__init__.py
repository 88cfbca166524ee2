"""Image classification. Name it in `custom_imports` beside `swinv2_dense`."""

from .classifier import ImageClassifier
from .heads import LinearHead, SmoothedCrossEntropy
from .registry import SCOPE
from .samples import ClassificationSample

__all__ = [
    'SCOPE',
    'ClassificationSample',
    'ImageClassifier',
    'LinearHead',
    'SmoothedCrossEntropy',
]
