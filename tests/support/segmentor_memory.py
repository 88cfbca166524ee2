"""Peak memory of testing one image: segmentor_memory.py KIND MODE SIZE [VIEWS].

Prints MiB above the model, and seconds. A process of its own, as the allocator keeps what it took.
"""

from __future__ import annotations

import sys
import time

import torch
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import register_all_modules
from segmentors import upernet

import swinv2_dense.seg  # noqa: F401
from swinv2_dense.benchmark.worker import Memory

FLIPS = (None, 'horizontal')


def views(image: torch.Tensor, count: int) -> dict:
    """`count` views of an image, flipped in turns, as a data loader gives them."""
    data = dict(inputs=[], data_samples=[])
    for i in range(count):
        flip = FLIPS[i % 2]
        size = image.shape[2:]
        meta = dict(ori_shape=size, img_shape=size, img_path='', flip=flip is not None)
        meta['flip_direction'] = flip
        data['inputs'].append([image[0].flip(2) if flip else image[0]])
        data['data_samples'].append([SegDataSample(metainfo=meta)])
    return data


def main(kind: str, mode: str, size: str, count: str = '1') -> None:
    torch.manual_seed(0)
    register_all_modules()
    cfg = upernet(num_classes=150)
    cfg.type = kind
    cfg.test_cfg = dict(mode=mode, crop_size=(512, 512), stride=(341, 341))
    model = MODELS.build(cfg).eval()
    tta = dict(EncoderDecoder='SegTTAModel', TiledEncoderDecoder='TiledSegTTAModel')[kind]
    wrapped = MODELS.build(dict(type=tta, module=model))
    image = torch.randint(0, 256, (1, 3, int(size), int(size)), dtype=torch.uint8)
    data = views(image, int(count))
    memory, start = Memory('cpu'), time.perf_counter()
    with torch.no_grad():
        if int(count) > 1:
            wrapped.test_step(data)
        else:
            model.test_step(dict(inputs=data['inputs'][0], data_samples=data['data_samples'][0]))
    print(round(memory.peak()), round(time.perf_counter() - start, 1))


if __name__ == '__main__':
    main(*sys.argv[1:])
