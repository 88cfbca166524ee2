"""Choices and defaults of command-line options that other code uses too.

They have a file of their own because showing the help of a command must not import that code.
"""

from __future__ import annotations

ATTENTION_BACKENDS = ('auto', 'tiled', 'plain', 'sdpa', 'triton')
DTYPES = {'fp32': 'float32', 'bf16': 'bfloat16', 'fp16': 'float16'}  # attributes of torch
LOG_BACKENDS = {'tensorboard': 'TensorboardVisBackend', 'wandb': 'WandbVisBackend'}  # by package
PEER_PACKAGES = {  # libraries that the benchmark compares against
    'hf': 'transformers',
    'timm': 'timm',
    'mmpretrain': 'mmpretrain',
    'mmaction2': 'mmaction2',
    'mmdet': 'mmdet',
}
NATIVE = 'native'  # ATEN_CPU_CAPABILITY unset: torch uses the best that the CPU has
CPU_CAPABILITIES = ('default', 'avx2', NATIVE)
MAX_PIXELS = 178_956_970  # default of --max-pixels; Pillow raises DecompressionBombError above it
CLAIMS = ('resolution', 'activations', 'logits', 'memory')  # modules of claims/
EXPORTS = ('coco', 'cvat', 'labelme', 'label-studio')  # formats of `det.exports`
IMAGENET_1K_ROWS = 'imagenet1k'  # value of `head_rows` that is not a file
