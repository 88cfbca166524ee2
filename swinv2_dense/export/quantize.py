"""Dynamic int8 quantization of the linear layers of an ONNX file."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import ConfigError
from .packages import need
from .writing import quiet


def quantize_linear(path: Path) -> None:
    """Store weights of matrix products in int8, per channel; inputs are quantized as they come.

    Products of two computed tensors (attention) and convolutions stay in fp32.

    Raises:
        ConfigError: The weights are in a file of their own.
    """
    if path.with_name(f'{path.name}.data').exists():
        raise ConfigError('--dtype=int8 is for weights of up to 2 GB; use --dtype fp16')
    quantization = need('onnxruntime.quantization', '--dtype=int8')
    draft = path.with_suffix('.int8')
    with quiet():
        quantization.quantize_dynamic(
            path,
            draft,
            op_types_to_quantize=['MatMul', 'Gemm'],
            per_channel=True,
            weight_type=quantization.QuantType.QInt8,
        )
    os.replace(draft, path)
