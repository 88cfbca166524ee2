"""Confusion matrices of any number of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .page import Matrix, Table

MOST_CLASSES = 40
MOST_PAIRS = 50


def confusion_blocks(
    names: Sequence[str], counts: Sequence[Sequence[int]], settings: Mapping[str, str]
) -> list[Matrix | Table]:
    """A matrix, and a table of its largest entries off the diagonal.

    Args:
        names: Of rows (truth) and columns (prediction), which are the same.
        counts: By row and column.
        settings: Arguments of the matrix such as `note`.
    """
    matrix = np.asarray(counts)
    wrong = matrix * (1 - np.eye(len(matrix), dtype=matrix.dtype))
    note = settings.get('note', '')
    kept = np.arange(len(matrix))
    if len(matrix) > MOST_CLASSES:
        by_mistakes = np.argsort(-(wrong.sum(axis=0) + wrong.sum(axis=1)), kind='stable')
        kept = np.sort(by_mistakes[:MOST_CLASSES])
        note += f' The {MOST_CLASSES} of {len(matrix)} classes with most mistakes.'
    shown = [names[index] for index in kept]
    blocks: list[Matrix | Table] = [
        Matrix('Confusion', shown, shown, matrix[np.ix_(kept, kept)].tolist(), note=note.strip())
    ]
    flat = np.argsort(-wrong, axis=None, kind='stable')[:MOST_PAIRS]
    rows = []
    for index in flat:
        truth, predicted = divmod(int(index), len(matrix))
        if not wrong[truth, predicted]:
            break
        part = wrong[truth, predicted] / matrix[truth].sum()
        rows.append([names[truth], names[predicted], int(wrong[truth, predicted]), float(part)])
    if rows:
        columns = [
            dict(name='Truth', kind='text'),
            dict(name='Prediction', kind='text'),
            dict(name='Count', kind='number', digits=0),
            dict(name='Part of the truth', kind='bar', digits=3),
        ]
        blocks.append(Table('Most frequent confusions', columns, rows))
    return blocks
