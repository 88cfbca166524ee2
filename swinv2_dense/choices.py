"""Choices of command-line options and of the code behind them.

They are separate from that code because `--help` must not import it.
"""

from __future__ import annotations

ATTENTION_BACKENDS = ('auto', 'tiled', 'plain', 'sdpa', 'flex')
DTYPES = {'fp32': 'float32', 'bf16': 'bfloat16', 'fp16': 'float16'}  # attributes of torch
LOG_BACKENDS = {'tensorboard': 'TensorboardVisBackend', 'wandb': 'WandbVisBackend'}  # by package
PEER_PACKAGES = {  # libraries that the benchmark compares against
    'hf': 'transformers',
    'timm': 'timm',
    'mmpretrain': 'mmpretrain',
    'mmaction2': 'mmaction2',
}
