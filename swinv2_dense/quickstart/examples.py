"""The two examples of the quickstart, with what tells them apart: data, config, metric, pictures.

tools/quickstart.py runs one after the other: it writes the data, trains, tests, draws and compares
the metric with the target.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from . import shapes, surfaces
from .label_panel import draw_label_panel
from .report import draw_curves, draw_panel

SPLITS = ('train', 'val', 'test')  # data loaders of a config


class Detection:
    """HTC++ on textured shapes, whose outline is their class."""

    config = 'configs/quickstart/htc++_swinv2-c32-w8_1xb8-600it_shapes-128.py'
    next_config = 'configs/detection/htc_swinv2-t-w16_1xb4-bf16-1x_coco.py'
    next_data = 'COCO, or your own data in its format'
    model = 'HTC++, a cascade of boxes and masks with a semantic branch, on a small SwinV2'
    data, content, write = 'shapes', 'textured shapes', staticmethod(shapes.write_dataset)
    spec = shapes.ShapesSpec
    metric, target = 'box and mask AP50', 0.6
    columns = {
        'AP': 'mAP',
        'AP50': 'mAP_50',
        'AP75': 'mAP_75',
        'AP small': 'mAP_s',
        'AP medium': 'mAP_m',
    }

    def data_options(self, root: Path) -> list[str]:
        """Config options for data that lie elsewhere than the config says."""
        return [
            *(f'{split}_dataloader.dataset.data_root={root}/' for split in SPLITS),
            *(f'{split}_evaluator.ann_file={self._annotations(root)}' for split in SPLITS[1:]),
        ]

    def test_arguments(self, results: Path) -> tuple[list[str], list[str]]:
        """Flags and config options that let the test write its predictions."""
        return [], [f'test_evaluator.outfile_prefix={results}']

    def draw(self, root: Path, results: Path, out: Path) -> None:
        """Write a PNG with predictions beside the truth."""
        draw_panel(self._annotations(root), root / 'val', results.with_suffix('.segm.json'), out)

    def draw_curves(self, log: Path, out: Path, target: float) -> None:
        """Write a PNG with loss and metric."""
        draw_curves(log, out, target)

    def values(self, metrics: Mapping[str, float]) -> list[float]:
        """What must reach the target."""
        return [metrics.get(f'coco/{kind}_mAP_50', 0.0) for kind in ('bbox', 'segm')]

    def table(self, metrics: Mapping[str, float]) -> str:
        """The metrics as lines of text."""
        lines = [' ' * 6 + ''.join(f'{name:>11}' for name in self.columns)]
        for row, kind in [('box', 'bbox'), ('mask', 'segm')]:
            values = [metrics.get(f'coco/{kind}_{key}', 0.0) for key in self.columns.values()]
            lines.append(f'{row:<6}' + ''.join(f'{value:11.3f}' for value in values))
        return '\n'.join(lines)

    def progress(self, line: str) -> str | None:
        """What a line of the log says of an evaluation; None for other lines."""
        found = re.search(r'Iter\(val\).*bbox_mAP_50: (\S+).*segm_mAP_50: (\S+)', line)
        return found and f'box AP50 {found[1][:5]}, mask AP50 {found[2][:5]}'

    def _annotations(self, root: Path) -> Path:
        return root / 'annotations' / 'instances_val.json'


class Segmentation:
    """UperNet on patterned surfaces."""

    config = 'configs/quickstart/upernet_swinv2-c32-w8_1xb8-200it_surfaces-128.py'
    next_config = 'configs/segmentation/upernet_swinv2-t-w16_1xb16-bf16-160k_ade20k-512x512.py'
    next_data = 'ADE20K, or your own images and label maps'
    model = 'UperNet on a small SwinV2'
    data, content, write = 'surfaces', 'patterned surfaces', staticmethod(surfaces.write_dataset)
    spec = surfaces.SurfacesSpec
    metric, target = 'mIoU', 0.7
    columns = dict(mIoU='mIoU', accuracy='aAcc')

    def data_options(self, root: Path) -> list[str]:
        """Config options for data that lie elsewhere than the config says."""
        return [f'{split}_dataloader.dataset.data_root={root}/' for split in SPLITS]

    def test_arguments(self, results: Path) -> tuple[list[str], list[str]]:
        """Flags and config options that let the test write its predictions."""
        return ['--out', str(results)], []

    def draw(self, root: Path, results: Path, out: Path) -> None:
        """Write a PNG with predictions beside the truth."""
        folders = root / 'images' / 'val', root / 'masks' / 'val', results
        draw_label_panel(*folders, surfaces.CLASSES, surfaces.PALETTE, out)

    def draw_curves(self, log: Path, out: Path, target: float) -> None:
        """Write a PNG with loss and metric."""
        curves = {'mIoU': 'mIoU', 'aAcc': 'accuracy'}
        draw_curves(log, out, target, curves, 'pixels of unseen images', unit=100)

    def values(self, metrics: Mapping[str, float]) -> list[float]:
        """What must reach the target."""
        return [metrics.get('mIoU', 0.0) / 100]

    def table(self, metrics: Mapping[str, float]) -> str:
        """The metrics as lines of text."""
        values = ''.join(f'{metrics.get(key, 0.0) / 100:11.3f}' for key in self.columns.values())
        return ''.join(f'{name:>11}' for name in self.columns) + '\n' + values

    def progress(self, line: str) -> str | None:
        """What a line of the log says of an evaluation; None for other lines."""
        found = re.search(r'Iter\(val\).*aAcc: (\S+) .*mIoU: (\S+)', line)
        return found and f'mIoU {float(found[2]) / 100:.3f}, accuracy {float(found[1]) / 100:.3f}'


EXAMPLES = {'detection': Detection(), 'segmentation': Segmentation()}
