"""Peak memory of testing videos: recognizer_memory.py KIND:VIEWS...

Prints MiB above the model and the uint8 views, for each. A process of its own, so that the
allocator can be told to keep nothing.
"""

from __future__ import annotations

import sys

import torch
from torch import nn

import swinv2_dense.video  # noqa: F401  before mmaction, whose import it patches

# isort: split
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmaction.utils import register_all_modules

from swinv2_dense.benchmark.worker import Memory

SIZE = (3, 16, 160, 160)


@MODELS.register_module()
class Patches(nn.Module):
    """One convolution of stride (2, 8, 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 32, (2, 8, 8), (2, 8, 8))

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        return self.conv(clip)


def peak(kind: str, views: int) -> int:
    model = MODELS.build(
        dict(
            type=kind,
            backbone=dict(type='Patches'),
            cls_head=dict(type='I3DHead', num_classes=5, in_channels=32, average_clips='prob'),
            data_preprocessor=dict(
                type='ActionDataPreprocessor',
                mean=[120.0] * 3,
                std=[60.0] * 3,
                format_shape='NCTHW',
            ),
            test_cfg=dict(max_testing_views=2),
        )
    ).eval()
    clips = torch.randint(0, 256, (views, *SIZE), dtype=torch.uint8)
    with torch.no_grad():
        model.test_step(dict(inputs=[clips[:1]], data_samples=[ActionDataSample()]))  # warm
        memory = Memory('cpu')
        model.test_step(dict(inputs=[clips], data_samples=[ActionDataSample()]))
    return round(memory.peak())


if __name__ == '__main__':
    register_all_modules()
    cases = [case.split(':') for case in sys.argv[1:]]
    print(*[peak(kind, int(views)) for kind, views in cases])
