"""Write a traced graph as ONNX or pt2."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.export import ExportedProgram

from ..errors import ConfigError
from .graph import ExportInputs, Graph
from .metadata import Metadata
from .packages import need
from .translations import translations

OPSET = 18  # that of the exporter, which converts the graph for any other one
INLINE = 1_900_000_000  # bytes of weights that fit in one file: protobuf ends at 2 GB
METADATA_FILE = 'metadata.json'  # in a pt2


@dataclass(frozen=True)
class Format:
    """A file format: how it is written, who writes it."""

    suffix: str
    write: Callable[[ExportedProgram, ExportInputs, Path, Metadata], None]
    exporter: str
    opset: int | None = None


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the exporters, which warn about packages and internals that users cannot change."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(disabled)


def trace(graph: Graph, inputs: ExportInputs) -> ExportedProgram:
    """The operators of a graph for the sizes of example inputs.

    Raises:
        ConfigError: The model cannot be traced.
    """
    try:
        with torch.no_grad(), quiet():
            return torch.export.export(
                graph, tuple(inputs.tensors.values()), dynamic_shapes=inputs.dynamic_shapes()
            )
    except Exception as error:  # torch raises anything from AssertionError to its own
        reason = str(error).strip().partition('\n')[0] or type(error).__name__
        raise ConfigError(
            f'{type(graph.core).__name__} cannot be traced by torch.export: {reason}; export a '
            'part of the model with --part backbone or --part neck'
        ) from error


def write_onnx(
    program: ExportedProgram, inputs: ExportInputs, path: Path, metadata: Metadata
) -> None:
    """An ONNX file; weights beyond 2 GB go to `NAME.onnx.data` beside it.

    Raises:
        ConfigError: A package is missing, or an operator has no translation.
    """
    need('onnxscript', 'writing ONNX')
    try:
        with quiet():
            onnx_program = torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                input_names=list(inputs.tensors),
                output_names=metadata.outputs,
                custom_translation_table=translations(),
            )
    except torch.onnx.errors.OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().partition('\n')[0]
        raise ConfigError(f'the ONNX exporter fails: {reason}') from error
    onnx_program.model.metadata_props.update(metadata.to_strings())
    tensors = {**program.state_dict, **program.constants}.values()
    size = sum(t.numel() * t.element_size() for t in tensors if isinstance(t, torch.Tensor))
    onnx_program.save(path, external_data=size > INLINE)


def write_pt2(
    program: ExportedProgram, inputs: ExportInputs, path: Path, metadata: Metadata
) -> None:
    """A file for `torch.export.load`; `metadata.json` in it has the metadata."""
    text = json.dumps(metadata.to_strings())
    with quiet():
        torch.export.save(program, path, extra_files={METADATA_FILE: text})


FORMATS: dict[str, Format] = {
    'onnx': Format('.onnx', write_onnx, 'torch.onnx.export(dynamo=True)', OPSET),
    'pt2': Format('.pt2', write_pt2, 'torch.export'),
}


def exporter_name(kind: Format) -> str:
    """Which code wrote a file, with its version."""
    return f'{kind.exporter} of torch {torch.__version__}'
