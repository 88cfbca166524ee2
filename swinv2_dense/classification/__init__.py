"""Image classification. Name it in `custom_imports` beside `swinv2_dense`."""

from .. import transforms  # registers them
from ..registry import scope_registries
from .batch_augment import MixupCutmix
from .classifier import ImageClassifier
from .datasets import (
    ClassFolderDataset,
    ImageListDataset,
    NumberedFolderDataset,
    SortedFolderDataset,
)
from .heads import LinearHead, SmoothedCrossEntropy
from .imagenet import ImageNet, ImageNet22K, ImageNetV2
from .metrics import ClassificationAccuracy, PredictionTable
from .packing import PackClassificationInputs
from .samples import ClassificationSample
from .tta import ClassifierTTAModel
from .visualization import ClassificationVisualizer
from .weights import ClassifierWeightsHook

SCOPE = 'swinv2_classification'
REGISTRIES = scope_registries(SCOPE)

__all__ = [
    'REGISTRIES',
    'SCOPE',
    'ClassFolderDataset',
    'ClassificationAccuracy',
    'ClassificationSample',
    'ClassificationVisualizer',
    'ClassifierTTAModel',
    'ClassifierWeightsHook',
    'ImageClassifier',
    'ImageNet',
    'ImageNet22K',
    'ImageNetV2',
    'ImageListDataset',
    'LinearHead',
    'MixupCutmix',
    'NumberedFolderDataset',
    'PackClassificationInputs',
    'PredictionTable',
    'SmoothedCrossEntropy',
    'SortedFolderDataset',
    'transforms',
]
