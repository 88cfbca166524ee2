"""Functions that configs call for your own data: names and numbers of classes, and models."""

from .class_folders import read_class_folders, read_image_folders
from .class_names import read_class_names
from .coco_categories import read_classes
from .num_classes import set_num_classes
from .shipped_models import model_of

__all__ = [
    'model_of',
    'read_class_folders',
    'read_class_names',
    'read_classes',
    'read_image_folders',
    'set_num_classes',
]
