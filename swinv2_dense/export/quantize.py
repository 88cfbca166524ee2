"""Dynamic int8 quantization of the linear layers of an ONNX file."""

from __future__ import annotations

import os
from pathlib import Path

from .packages import need


def quantize_linear(path: Path) -> None:
    """Store weights of matrix products in int8, per channel; inputs are quantized as they come.

    Products of two computed tensors (attention) and convolutions stay in fp32.
    """
    quantization = need('onnxruntime.quantization', '--dtype=int8')
    draft = path.with_suffix('.int8')
    quantization.quantize_dynamic(
        path,
        draft,
        op_types_to_quantize=['MatMul', 'Gemm'],
        per_channel=True,
        weight_type=quantization.QuantType.QInt8,
    )
    os.replace(draft, path)
