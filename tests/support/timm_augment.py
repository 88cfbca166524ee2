"""Compare augmentation with timm's, drawn from the same seeds; prints the largest differences.

`python tests/support/timm_augment.py` with timm and torchvision on PYTHONPATH, which must stay out
of the process of the tests: torchvision changes what transformers and mmaction2 import.
"""

from __future__ import annotations

import json
import random

import numpy as np
import torch
from PIL import Image

from swinv2_dense.benchmark.peers import without_torchvision_operators

without_torchvision_operators()
from timm.data import auto_augment  # noqa: E402
from timm.data.mixup import Mixup  # noqa: E402
from timm.loss import SoftTargetCrossEntropy  # noqa: E402

from swinv2_dense.classification import MixupCutmix, SmoothedCrossEntropy  # noqa: E402
from swinv2_dense.transforms.operations import Border  # noqa: E402
from swinv2_dense.transforms.rand_augment import STRENGTHS, augment  # noqa: E402

FILL, BICUBIC = (124, 116, 104), Image.Resampling.BICUBIC
INCREASING = ('posterize', 'solarize', 'color', 'contrast', 'brightness', 'sharpness')
RELATIVE = ('translate_x', 'translate_y')


def mixing() -> float:
    """Of images, smoothed targets and losses, over batches of odd sides."""
    largest = 0.0
    for seed in range(100):
        torch.manual_seed(seed)
        images, labels, logits = torch.rand(6, 3, 37, 41), torch.randint(9, (6,)), torch.randn(6, 9)
        np.random.seed(seed)
        theirs, smoothed = Mixup(0.8, 1.0, None, 1.0, 0.5, 'batch', True, 0.1, 9)(
            images.clone(), labels
        )
        np.random.seed(seed)
        ours, target = MixupCutmix()(images, labels, 9)
        loss = SmoothedCrossEntropy(0.1)(logits, target)
        pairs = ((ours, theirs), (0.9 * target + 0.1 / 9, smoothed))
        pairs += ((loss, SoftTargetCrossEntropy()(logits, smoothed)),)
        largest = max([largest, *(float((a - b).abs().max()) for a, b in pairs)])
    return largest


def name_in_timm(name: str) -> str:
    camel = ''.join(part.capitalize() for part in name.split('_'))
    return {
        'autocontrast': 'AutoContrast', **dict.fromkeys(RELATIVE, f'{camel}Rel'),
        **dict.fromkeys(INCREASING, f'{camel}Increasing'),
    }.get(name, camel)  # fmt: skip


def operations() -> int:
    """Of pixels, for all operations with both signs and several magnitudes."""
    assert set(map(name_in_timm, STRENGTHS)) == set(auto_augment._RAND_INCREASING_TRANSFORMS)
    small = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
    image = Image.fromarray(small).resize((120, 90), BICUBIC)
    bgr = np.ascontiguousarray(np.array(image)[..., ::-1])
    settings = dict(img_mean=FILL, interpolation=BICUBIC)
    largest, border = 0, Border(FILL, BICUBIC)
    for name in STRENGTHS:
        for magnitude in (3.0, 9.0, 9.99):
            operation = auto_augment.AugmentOp(name_in_timm(name), 1.0, magnitude, settings)
            theirs = {sign: applied(operation, image, sign) for sign in (-1, 1)}
            ours = {
                sign: augment(bgr, [(name, STRENGTHS[name](sign * magnitude / 10))], border)
                for sign in (-1, 1)
            }
            largest = max(
                largest,
                *(int(np.abs(theirs[s].astype(int) - ours[s][..., ::-1]).max()) for s in (-1, 1)),
            )
    return largest


def applied(operation: auto_augment.AugmentOp, image: Image.Image, sign: int) -> np.ndarray:
    """timm negates if the next random number is above one half."""
    seed = next(s for s in range(9) if (random.Random(s).random() > 0.5) == (sign < 0))
    random.seed(seed)
    return np.array(operation(image))


if __name__ == '__main__':
    print(json.dumps(dict(mixing=mixing(), operations=operations())))
