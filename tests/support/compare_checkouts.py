"""Compare what two checkouts compute: python tests/support/compare_checkouts.py BEFORE [AFTER].

For fixed seeds, both must compute the same feature maps, losses and gradients for the models of
all quickstart configs, and for a T backbone at several sizes. To be run after a change that should
not affect numbers, e.g. with a worktree of the previous commit:

    git worktree add /tmp/before HEAD~1
    python tests/support/compare_checkouts.py /tmp/before

Exits with status 1 if any value differs, bit by bit or by more than --tolerance. AFTER is this
checkout by default. The tensors take about 3 GB in the folder for temporary files.
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

HERE = Path(__file__).resolve().parents[2]
SIZES = ((64, 64), (224, 224), (97, 131), (160, 512), (256, 255))  # whole windows, odd, oblong
EXTENSIONS = {
    'mmdet': 'det',
    'mmseg': 'seg',
    'mmaction': 'video',
    'swinv2_pretraining': 'pretraining',
}


def randomize(model) -> None:
    """Zero-initialized norms would hide the blocks behind them."""
    import torch

    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.02)


def gradients(model) -> dict[str, Tensor]:
    return {k: p.grad.detach() for k, p in model.named_parameters() if p.grad is not None}


def backbone_values(size: tuple[int, int], **options) -> dict[str, Tensor]:
    """Maps and gradients of a T backbone, in training with drop path and activation checkpoints."""
    import torch

    from swinv2_dense import SwinTransformerV2

    torch.manual_seed(0)
    model = SwinTransformerV2(arch='t', window_size=8, drop_path_rate=0.2, **options)
    model.init_weights()
    randomize(model)
    image = torch.randn(2, 3, *size, requires_grad=True)
    maps = model.train()(image)
    sum((m * m).mean() for m in maps).backward()
    found = {f'map {i}': m.detach() for i, m in enumerate(maps)}
    found['image gradient'] = image.grad.detach()
    with torch.no_grad():
        found |= {f'eval map {i}': m.detach() for i, m in enumerate(model.eval()(image))}
    return found | gradients(model)


def detection_inputs() -> dict:
    from mmdet.testing import demo_mm_inputs

    # 182 is the number of stuff classes that a semantic branch tells apart.
    return demo_mm_inputs(
        2, [[3, 96, 128], [3, 80, 112]], num_classes=3, with_mask=True, with_semantic=True
    )


def segmentation_inputs() -> dict:
    import torch
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    samples = []
    for _ in range(2):
        labels = torch.randint(0, 3, (1, 96, 128))
        shape = dict(img_shape=(96, 128), ori_shape=(96, 128), pad_shape=(96, 128))
        sample = SegDataSample(metainfo=shape)
        sample.gt_sem_seg = PixelData(data=labels)
        samples.append(sample)
    return dict(inputs=[torch.randint(0, 256, (3, 96, 128)) for _ in samples], data_samples=samples)


def video_inputs() -> dict:
    import torch
    from mmaction.structures import ActionDataSample

    samples = [ActionDataSample().set_gt_label(label) for label in (0, 1)]
    inputs = [torch.randint(0, 256, (1, 3, 8, 64, 64), dtype=torch.uint8) for _ in samples]
    return dict(inputs=inputs, data_samples=samples)


def pretraining_inputs() -> dict:
    import torch
    from mmengine.structures import BaseDataElement

    samples = [BaseDataElement() for _ in range(2)]
    for sample in samples:
        sample.mask = torch.tensor([[i % 3 > 0 for i in range(row, row + 4)] for row in range(4)])
    return dict(inputs=[torch.randint(0, 256, (3, 64, 64)) for _ in samples], data_samples=samples)


INPUTS = {
    'mmdet': detection_inputs,
    'mmseg': segmentation_inputs,
    'mmaction': video_inputs,
    'swinv2_pretraining': pretraining_inputs,
}


def model_values(path: Path) -> dict[str, Tensor]:
    """Maps, losses and gradients of the model of a config."""
    import numpy as np
    import torch
    from mmengine.config import Config
    from mmengine.registry import MODELS, init_default_scope

    cfg = Config.fromfile(path)
    importlib.import_module(f'swinv2_dense.{EXTENSIONS[cfg.default_scope]}')
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    np.random.seed(0)
    cfg.model.backbone.pop('init_cfg', None)  # a checkpoint that an earlier training writes
    model = MODELS.build(cfg.model)
    model.init_weights()
    randomize(model)
    data = model.data_preprocessor(INPUTS[cfg.default_scope](), training=True)
    losses = model.train()(**data, mode='loss')
    total, shown = model.parse_losses(losses)
    total.backward()
    found = {name: torch.as_tensor(value).detach() for name, value in shown.items()}
    images = data['inputs'].flatten(0, 1) if data['inputs'].ndim == 6 else data['inputs']
    with torch.no_grad():
        maps = model.eval().backbone(images.float())
    maps = maps if isinstance(maps, (tuple, list)) else [maps]
    return found | {f'map {i}': m.detach() for i, m in enumerate(maps)} | gradients(model)


def cases() -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Name and values of everything that is compared."""
    import swinv2_dense

    for size in SIZES:
        for options in (dict(), dict(with_cp=True), dict(attention_backend='plain')):
            name = ' '.join(['T', str(size), *map(str, options.items())])
            yield name, backbone_values(size, **options)
    folder = Path(swinv2_dense.__file__).parents[1] / 'configs/quickstart'
    for path in sorted(folder.glob('*.py')):
        yield path.name, model_values(path)


def save_values(checkout: Path, folder: Path) -> dict[str, Path]:
    """Files of `cases` of a checkout, computed by a process that imports the package from there."""
    environment = {**os.environ, 'PYTHONPATH': str(checkout), 'OMP_NUM_THREADS': '1'}
    command = [sys.executable, __file__, '--child', str(checkout), str(folder)]
    child = subprocess.run(command, env=environment, cwd=checkout, stdout=subprocess.DEVNULL)
    if child.returncode:
        sys.exit(f'{checkout}: the comparison ended with status {child.returncode}, see above')
    return {path.stem: path for path in sorted(folder.iterdir())}


def difference(old: Tensor | None, new: Tensor | None) -> float:
    """Relative L2 distance; 0 only for equal bits, infinite for other shapes and types."""
    import torch

    if old is None or new is None or old.shape != new.shape or old.dtype != new.dtype:
        return float('inf')
    if old.is_floating_point():
        raw = (
            t.contiguous().view(torch.int32 if t.element_size() == 4 else torch.int64)
            for t in (old, new)
        )
        if torch.equal(*raw):
            return 0.0
    old, new = old.double(), new.double()
    distance = float((old - new).norm() / old.norm().clamp(min=1e-30))
    return distance if distance == distance else float('inf')


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('before', type=Path)
    parser.add_argument('after', type=Path, nargs='?', default=HERE)
    parser.add_argument('--tolerance', type=float, default=0.0, help='relative L2 (default: 0)')
    parser.add_argument('--child', action='store_true', help=argparse.SUPPRESS)
    args = parser.parse_args()
    import torch

    if args.child:
        import swinv2_dense

        if not Path(swinv2_dense.__file__).is_relative_to(args.before):
            sys.exit(f'{swinv2_dense.__file__} is imported instead of {args.before}/swinv2_dense')
        for name, values in cases():
            torch.save(values, args.after / f'{name}.pth')
        return 0
    different = 0
    with tempfile.TemporaryDirectory() as work:
        folders = [Path(work) / name for name in ('before', 'after')]
        for folder in folders:
            folder.mkdir()
        before, after = (
            save_values(path.resolve(), folder)
            for path, folder in zip((args.before, args.after), folders)
        )
        for name in sorted(before.keys() ^ after.keys()):
            print(f'{name}: only in {args.before if name in before else args.after}')
        for name in sorted(before.keys() & after.keys()):
            old, new = (torch.load(files[name], weights_only=True) for files in (before, after))
            found = {key: difference(old.get(key), new.get(key)) for key in {*old, *new}}
            worst = sorted(found, key=lambda key: -found[key])[:3]
            equal = sum(value == 0 for value in found.values())
            print(f'{name}: {equal} of {len(found)} values equal', end='')
            print('' if equal == len(found) else f', at most {found[worst[0]]:.1e} apart: {worst}')
            different += not found or found[worst[0]] > args.tolerance
    return 1 if different else 0


if __name__ == '__main__':
    sys.exit(main())
