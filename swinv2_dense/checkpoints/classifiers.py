"""Weights of a classifier, backbone and head, from a checkpoint of any format."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from ..errors import CheckpointError
from .formats import HEAD, METADATA_KEY, Weights, convert
from .loading import Backbone, LoadReport, check_arch, load_weights, local_file, read_weights
from .pretrained_windows import find_pretrained_windows

BACKBONE = 'backbone.'  # prefix of the backbone in the state dict of a classifier


class Classifier(Protocol):
    """What loading needs; `classification.ImageClassifier` provides it."""

    backbone: Backbone
    head: Any  # a module with `fc`, a linear layer


def load_classifier(
    model: Classifier,
    source: str,
    prefix: str | None = None,
    allow_missing: bool = False,
    new_bands: str | None = None,
    head_rows: str | Sequence[int] | None = None,
) -> LoadReport:
    """Load backbone and head from a checkpoint of any known format, or raise and change nothing.

    Args:
        model: The classifier.
        source: Path, URL or `hf://owner/name`.
        prefix: See `load_pretrained`.
        allow_missing: Accept missing parameters, also a missing head; they stay unchanged.
        new_bands: See `load_pretrained`.
        head_rows: For each class of the model, the class of the checkpoint, counted from 0, whose
            weights it gets; or a text file with one per line.

    Raises:
        CheckpointError: See `load_pretrained`; also if the checkpoint has no head, or one for
            another number of classes.
    """
    weights, file = read_weights(source, prefix)
    check_arch(model.backbone, weights.state, source)
    if head_rows is not None:
        weights = select_rows(weights, head_rows, source)
    head: nn.Module = model.head
    own = dict(head.named_parameters())
    _check_classes(weights, own, source, allow_missing)
    return load_weights(model.backbone, weights, file, allow_missing, own, new_bands)


def select_rows(weights: Weights, head_rows: str | Sequence[int], source: str) -> Weights:
    """The same weights with a head for other classes; see `head_rows` of `load_classifier`.

    Raises:
        CheckpointError: The file cannot be read, or an entry is not a class of the head.
    """
    count = weights.num_classes or 0
    given = f'={head_rows!r}' if isinstance(head_rows, str) else ''
    lines = _lines(head_rows) if isinstance(head_rows, str) else [str(row) for row in head_rows]
    wrong = [(i, line) for i, line in enumerate(lines, 1) if not _is_class(line, count)]
    if wrong or not lines:
        line, text = wrong[0] if wrong else (1, '')
        raise CheckpointError(
            f'head_rows{given}, entry {line}: {text!r} is not a class of {source}, whose head '
            f'has {count} classes, counted from 0'
        )
    rows = [int(line) for line in lines]
    return replace(weights, head={key: value[rows] for key, value in weights.head.items()})


def _lines(path: str) -> list[str]:
    try:
        return Path(path).expanduser().read_text(encoding='utf-8').split()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise CheckpointError(f'head_rows={path!r} cannot be read: {reason}') from error


def _is_class(text: str, count: int) -> bool:
    return text.isascii() and text.isdigit() and int(text) < count


def _check_classes(
    weights: Weights, own: Mapping[str, Any], source: str, allow_missing: bool
) -> None:
    backbone_only = (
        f"load only the backbone with model.backbone.init_cfg=dict(type='Pretrained', "
        f'checkpoint={source!r}), and train the head'
    )
    if not weights.head:
        if not allow_missing:
            raise CheckpointError(
                f'checkpoint {source} ({weights}) has no classification head; {backbone_only}'
            )
        return
    classes = own['fc.bias'].numel() if 'fc.bias' in own else None
    if classes is not None and classes != weights.num_classes:
        raise CheckpointError(
            f'checkpoint {source} has a head of {weights.num_classes} classes, the config one of '
            f'{classes}: set model.head.num_classes={weights.num_classes}, or {backbone_only}; '
            'head_rows=FILE in model.init_cfg chooses the classes to keep, one number per line'
        )


def as_classifier(checkpoint: object, source: str) -> tuple[OrderedDict, Weights] | None:
    """The state dict that an `ImageClassifier` loads, from a checkpoint of any other layout.

    Its metadata holds the pretrained windows. The head keeps its number of classes.

    Args:
        checkpoint: What `read_checkpoint_file` returned.
        source: Its path, URL or `hf://` address.

    Returns:
        The state dict, and what it was made from; None if the checkpoint is that of an
        `ImageClassifier` already.

    Raises:
        CheckpointError: See `convert`.
    """
    weights = convert(checkpoint, source)
    if weights.prefix in (BACKBONE, f'module.{BACKBONE}') and weights.is_native:
        return None
    file = local_file(source)
    state = classifier_state(weights)
    windows = find_pretrained_windows(weights, file)
    metadata = OrderedDict()
    if windows is not None:
        metadata['backbone'] = {METADATA_KEY: windows.windows}
    state._metadata = metadata  # type: ignore[attr-defined]
    return state, weights


def classifier_state(weights: Weights) -> OrderedDict:
    """Parameters named as in an `ImageClassifier`; the final norm is that of the last stage."""
    stages = {key.split('.')[1] for key in weights.state if key.startswith('layers.')}
    last = f'norm{len(stages) - 1}.'
    state: OrderedDict = OrderedDict()
    for key, value in weights.state.items():
        is_final = key.startswith('norm.') and last + key[5:] not in weights.state
        state[BACKBONE + (last + key[5:] if is_final else key)] = value
    for key, value in weights.head.items():
        state[HEAD + key] = value
    return state
