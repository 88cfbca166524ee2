"""Functions that configs call to read class names from a dataset and to set their number."""

from .class_folders import read_class_folders, read_image_folders
from .class_names import read_class_names
from .coco_categories import read_classes
from .num_classes import set_num_classes

__all__ = [
    'read_class_folders',
    'read_class_names',
    'read_classes',
    'read_image_folders',
    'set_num_classes',
]
