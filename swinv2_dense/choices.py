"""Names to choose from: of options of the commands, and of the code behind them.

They are here, apart from that code, because showing the help of a command must not import it.
"""

from __future__ import annotations

ATTENTION_BACKENDS = ('auto', 'tiled', 'plain', 'sdpa', 'flex')
DTYPES = {'fp32': 'float32', 'bf16': 'bfloat16', 'fp16': 'float16'}  # names of torch
LOG_BACKENDS = {'tensorboard': 'TensorboardVisBackend', 'wandb': 'WandbVisBackend'}  # by package
PEER_PACKAGES = {  # libraries that the benchmark compares with
    'hf': 'transformers',
    'timm': 'timm',
    'mmpretrain': 'mmpretrain',
    'mmaction2': 'mmaction2',
}
