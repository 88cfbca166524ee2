"""Warn about classes that do not occur in the label maps of a dataset."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import ConfigError

SHOWN = 6  # names of classes in a message


def check_presence(
    name: str, classes: Sequence[str], present: np.ndarray, maps: int, binary: Sequence[str]
) -> list[str]:
    """Warnings about classes without pixels.

    With a single class the loss is 0 and the accuracy 100 from the first step, whatever the model
    predicts. With none, mIoU is nan.

    Args:
        name: The loader, `train_dataloader`, `val_dataloader` or `test_dataloader`.
        classes: Names in the order of the labels.
        present: (len(classes),) bool, whether any map has the label.
        maps: Number of maps that were read.
        binary: Files with no values but 0 and 255.

    Raises:
        ConfigError: Nothing can be learned, or evaluated during training.
    """
    absent = [label for label, is_there in zip(classes, present) if not is_there]
    found = [label for label, is_there in zip(classes, present) if is_there]
    is_training, is_test = name.startswith('train'), name.startswith('test')
    if not found or (is_training and len(found) == 1):
        what = f'only the class {found[0]!r}' if found else 'no class at all'
        result = 'mIoU would be nan'
        if is_training:
            result = 'the loss would be 0 from the first step, and nothing would be learned'
        message = (
            f'{name}: the {maps} label maps contain {what}, other pixels are ignored: {result}'
        )
        if binary:
            message += (
                f'. {len(binary)} of them only contain 0 and 255, first {binary[0]}: 255 is '
                'ignored; if it is meant as a class, write 1 instead'
            )
        else:
            message += '. Give the background an id and a name, too, and see reduce_zero_label'
        if is_test:
            return [message]
        raise ConfigError(message)
    if not absent:
        return []
    names = ', '.join(absent[:SHOWN]) + (', ...' if len(absent) > SHOWN else '')
    result = 'they are not learned' if is_training else 'mIoU is the mean over the other classes'
    return [
        f'{name}: no label map has a pixel of {len(absent)} of {len(classes)} classes ({names}): '
        f'{result}'
    ]
