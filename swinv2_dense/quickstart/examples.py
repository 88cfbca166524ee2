"""The examples of the quickstart: their data, configs, metrics and pictures.

For each of them `cli.quickstart` writes the data, trains, runs the tests, draws the pictures and
compares the metrics with the target.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ..tables import text_table
from . import motions, shapes, surfaces
from .clip_panel import draw_clips, draw_confusion, read_predictions
from .detection_panel import draw_curves, draw_panel
from .few_labels import draw_reconstructions
from .goals import GOALS
from .label_panel import draw_label_panel

SPLITS = ('train', 'val', 'test')  # dataloaders of a config
BROWSE_AND_TRAIN = 'See what the model will see, then train it', ('browse_dataset', 'train')
PICTURES = {'predictions and ground truth': 'predictions.png'}
Results = Mapping[str, Mapping[str, float]]  # metrics of each test of an example


class Training(NamedTuple):
    """A training, and the tests of its last checkpoint.

    Attributes:
        folder: In the work directory of the example.
        config: What is trained.
        tests: Configs by the name of their test.
        start: The config option that takes the last checkpoint of the first training, if any.
    """

    folder: str
    config: str
    tests: Mapping[str, str]
    start: str = ''


OWN_DATA = (
    'Your own data, in any common format, is prepared, and a config for it written, by\n'
    '  python tools/prepare_data.py own FOLDER --out data/own'
)


class Detection:
    """HTC++ on textured shapes; the outline of a shape is its class."""

    _config = 'configs/quickstart/htc++_swinv2-c32-w8_1xb8-600it_shapes-128.py'
    trainings = (Training('', _config, {'test': _config}),)
    next_config = 'configs/detection/htc_swinv2-t-w16_1xb4-bf16-1x_coco.py'
    next_data, own_data = 'COCO', OWN_DATA
    next_steps, next_commands = BROWSE_AND_TRAIN
    model = 'HTC++, a cascade of boxes and masks with a semantic branch, on a small SwinV2'
    data, content, write = 'shapes', 'textured shapes', staticmethod(shapes.write_dataset)
    samples, pictures = 'images', PICTURES
    spec, metric, target = GOALS['detection']
    columns = {
        'AP': 'mAP',
        'AP50': 'mAP_50',
        'AP75': 'mAP_75',
        'AP small': 'mAP_s',
        'AP medium': 'mAP_m',
    }

    def data_options(self, root: Path) -> list[str]:
        """Config options for data in another folder than the config's."""
        return [
            *(f'{split}_dataloader.dataset.data_root={root}/' for split in SPLITS),
            *(f'{split}_evaluator.ann_file={self._annotations(root)}' for split in SPLITS[1:]),
        ]

    def test_arguments(self, test: str, results: Path) -> tuple[list[str], list[str]]:
        """Flags and config options that make the test write its predictions."""
        return [], [f'test_evaluator.outfile_prefix={results}']

    def draw(self, root: Path, work_dir: Path) -> None:
        """Write the pictures."""
        found, out = work_dir / 'test' / 'predictions.segm.json', work_dir / 'predictions.png'
        draw_panel(self._annotations(root), root / 'val', found, out)

    def draw_curves(self, log: Path, out: Path, target: float) -> None:
        """Write a PNG with loss and metric."""
        draw_curves(log, out, target)

    def figures(self, results: Results) -> dict[str, float]:
        """The metrics that have to reach the target, by name."""
        kinds = {'box AP50': 'bbox', 'mask AP50': 'segm'}
        return {
            name: results['test'].get(f'coco/{kind}_mAP_50', 0.0) for name, kind in kinds.items()
        }

    def reached(self, results: Results, target: float) -> bool:
        """Whether the metrics reach the target."""
        return min(self.figures(results).values()) >= target

    def table(self, results: Results) -> str:
        """The metrics as lines of text."""
        rows = []
        for row, kind in [('box', 'bbox'), ('mask', 'segm')]:
            keys = (f'coco/{kind}_{key}' for key in self.columns.values())
            rows.append([row, *(f'{results["test"].get(key, 0.0):.3f}' for key in keys)])
        return text_table(rows, ['', *self.columns])

    def progress(self, line: str) -> str | None:
        """The metrics in a line of the log, if it reports an evaluation."""
        found = re.search(r'Iter\(val\).*bbox_mAP_50: (\S+).*segm_mAP_50: (\S+)', line)
        return found and f'box AP50 {found[1][:5]}, mask AP50 {found[2][:5]}'

    def _annotations(self, root: Path) -> Path:
        return root / 'annotations' / 'instances_val.json'


class Segmentation:
    """UperNet on patterned surfaces."""

    _config = 'configs/quickstart/upernet_swinv2-c32-w8_1xb8-200it_surfaces-128.py'
    trainings = (Training('', _config, {'test': _config}),)
    next_config = 'configs/segmentation/upernet_swinv2-t-w16_1xb16-bf16-160k_ade20k-512x512.py'
    next_data, own_data = 'ADE20K', OWN_DATA
    next_steps, next_commands = BROWSE_AND_TRAIN
    model = 'UperNet on a small SwinV2'
    data, content, write = 'surfaces', 'patterned surfaces', staticmethod(surfaces.write_dataset)
    samples, pictures = 'images', PICTURES
    spec, metric, target = GOALS['segmentation']
    columns = dict(mIoU='mIoU', accuracy='aAcc')

    def data_options(self, root: Path) -> list[str]:
        """Config options for data in another folder than the config's."""
        return [f'{split}_dataloader.dataset.data_root={root}/' for split in SPLITS]

    def test_arguments(self, test: str, results: Path) -> tuple[list[str], list[str]]:
        """Flags and config options that make the test write its predictions."""
        return ['--out', str(results)], []

    def draw(self, root: Path, work_dir: Path) -> None:
        """Write the pictures."""
        folders = root / 'images' / 'val', root / 'masks' / 'val', work_dir / 'test' / 'predictions'
        classes, out = (surfaces.CLASSES, surfaces.PALETTE), work_dir / 'predictions.png'
        draw_label_panel(*folders, *classes, out)

    def draw_curves(self, log: Path, out: Path, target: float) -> None:
        """Write a PNG with loss and metric."""
        curves = {'mIoU': 'mIoU', 'aAcc': 'accuracy'}
        draw_curves(log, out, target, curves, 'pixels of unseen images', unit=100)

    def figures(self, results: Results) -> dict[str, float]:
        """The metrics that have to reach the target, by name."""
        return {'mIoU': results['test'].get('mIoU', 0.0) / 100}

    def reached(self, results: Results, target: float) -> bool:
        """Whether the metrics reach the target."""
        return self.figures(results)['mIoU'] >= target

    def table(self, results: Results) -> str:
        """The metrics as lines of text."""
        metrics = results['test']
        values = [f'{metrics.get(key, 0.0) / 100:.3f}' for key in self.columns.values()]
        return text_table([values], list(self.columns), left=())

    def progress(self, line: str) -> str | None:
        """The metrics in a line of the log, if it reports an evaluation."""
        found = re.search(r'Iter\(val\).*aAcc: (\S+) .*mIoU: (\S+)', line)
        return found and f'mIoU {float(found[2]) / 100:.3f}, accuracy {float(found[1]) / 100:.3f}'


class Video:
    """A recognizer on clips whose class is a motion, and two tests of what it learned from them."""

    _name = 'configs/quickstart/swinv2-c64-p288-w488_1xb16-8x2x1-400it_motions-rgb'
    _tests = {
        'test': f'{_name}.py',
        'shuffled': f'{_name}_shuffled.py',
        'reversed': f'{_name}_reversed.py',
    }
    trainings = (Training('', _tests['test'], _tests),)
    next_config = (
        'configs/video/swinv2-tiny-p244-w888_in1k-pre_1xb8-bf16-acc8-32x2x1-30e_kinetics400-rgb.py'
    )
    next_data, own_data = 'Kinetics-400', OWN_DATA
    next_steps, next_commands = 'Train it', ('train',)
    model = 'I3D head on a small video SwinV2'
    data, content, write = 'motions', 'moving shapes', staticmethod(motions.write_dataset)
    samples = 'clips'
    pictures = PICTURES | {'confusion matrices': 'confusion.png'}
    spec, metric, target = GOALS['video']
    # A reversed clip is a valid clip of the other class of its pair, so the target is the same.
    # A shuffled clip is equally likely to belong to either.
    most_shuffled = 0.6
    rows = {'test': 'in order', 'shuffled': 'shuffled', 'reversed': 'backwards'}
    columns = {
        'top-1': 'acc/top1',
        'right pair': 'pair/right_pair',
        'other of pair': 'pair/swapped',
    }

    def data_options(self, root: Path) -> list[str]:
        """Config options for data in another folder than the config's."""
        return [f'{split}_dataloader.dataset.data_root={root}/' for split in SPLITS]

    def test_arguments(self, test: str, results: Path) -> tuple[list[str], list[str]]:
        """Flags and config options that make the test write its predictions."""
        return [], [f'test_evaluator.1.out_file={results}.json']

    def draw(self, root: Path, work_dir: Path) -> None:
        """Write the pictures."""
        found = {
            row: read_predictions(work_dir / test / 'predictions.json')
            for test, row in self.rows.items()
        }
        _, scores = found['in order']
        draw_clips(root, scores, motions.CLASSES, work_dir / 'predictions.png')
        draw_confusion(found, motions.CLASSES, work_dir / 'confusion.png')

    def draw_curves(self, log: Path, out: Path, target: float) -> None:
        """Write a PNG with loss and metric."""
        curves = {'acc/top1': 'top-1', 'pair/right_pair': 'right pair'}
        draw_curves(log, out, target, curves, 'unseen clips')

    def figures(self, results: Results) -> dict[str, float]:
        """The metrics that have to reach the target, by name."""
        return {
            'forwards': results['test'].get('acc/top1', 0.0),
            'backwards': results['reversed'].get('pair/swapped', 0.0),
            'shuffled': results['shuffled'].get('acc/top1', 0.0),
        }

    def reached(self, results: Results, target: float) -> bool:
        """Whether the metrics reach the target, and depend on the order of the frames."""
        found = self.figures(results)
        right = min(found['forwards'], found['backwards'])
        return right >= target and found['shuffled'] <= self.most_shuffled

    def table(self, results: Results) -> str:
        """The metrics as lines of text."""
        rows = []
        for test, row in self.rows.items():
            values = [results[test].get(key, 0.0) for key in self.columns.values()]
            rows.append([row, *(f'{value:.3f}' for value in values)])
        return (
            f'{text_table(rows, ["frames", *self.columns])}\n'
            'For the target: top-1 in order, other of pair backwards; shuffled top-1 at most '
            f'{self.most_shuffled:.2f}.'
        )

    def progress(self, line: str) -> str | None:
        """The metrics in a line of the log, if it reports an evaluation."""
        found = re.search(r'Iter\(val\).*acc/top1: (\S+)', line)
        return found and f'top-1 {float(found[1]):.3f}'


class Pretraining(Segmentation):
    """SimMIM on images without labels, then UperNet on few labels, with and without it."""

    _upernet = 'configs/quickstart/few-labels_upernet_swinv2-c32-w8_{}1xb8-160it_surfaces-64.py'
    _simmim = 'configs/quickstart/simmim_swinv2-c32-w8_1xb16-1000it_surfaces-64.py'
    _start, _scratch = _upernet.format('simmim-pre_'), _upernet.format('')
    trainings = (
        Training('simmim', _simmim, {'reconstruction': _simmim}),
        Training(
            'pretrained', _start, {'test': _start}, start='model.backbone.init_cfg.checkpoint'
        ),
        Training('scratch', _scratch, {'scratch_test': _scratch}),
    )
    next_config = 'configs/pretraining/simmim_swinv2-s-w12_16xb128-bf16-800e_in1k-192.py'
    next_data = 'ImageNet without its labels'
    own_data = 'Any folder of your own images can be used too: docs/pretraining.md'
    next_steps, next_commands = BROWSE_AND_TRAIN
    model = 'UperNet on a small SwinV2, pre-trained with SimMIM and from scratch'
    data = 'surfaces-64'
    pictures = PICTURES | {'reconstructions': 'reconstructions.png'}
    spec, metric, target = GOALS['pretraining']
    rows = {'pre-trained': 'test', 'from scratch': 'scratch_test'}

    def test_arguments(self, test: str, results: Path) -> tuple[list[str], list[str]]:
        """Flags and config options that make the test write its predictions or pictures."""
        return ['--show-dir' if test == 'reconstruction' else '--out', str(results)], []

    def draw(self, root: Path, work_dir: Path) -> None:
        """Write the pictures."""
        super().draw(root, work_dir)
        pictures = work_dir / 'reconstruction' / 'predictions'
        draw_reconstructions(pictures, work_dir / 'reconstructions.png')

    def draw_curves(self, log: Path, out: Path, target: float) -> None:
        """Write a PNG with the loss of SimMIM."""
        curves = {'simmim/masked_l1': 'masked L1'}
        draw_curves(log, out, None, curves, 'masked pixels of unseen images')

    def figures(self, results: Results) -> dict[str, float]:
        """The mIoU with and without pre-training, and the loss of the pre-training."""
        figures = {row: results[test].get('mIoU', 0.0) / 100 for row, test in self.rows.items()}
        return {**figures, 'masked L1': results['reconstruction']['simmim/masked_l1']}

    def reached(self, results: Results, target: float) -> bool:
        """Whether the mIoU after pre-training reaches the target; how much it gains varies."""
        return self.figures(results)['pre-trained'] >= target

    def table(self, results: Results) -> str:
        """The metrics as lines of text."""
        rows = []
        for row, test in self.rows.items():
            values = (results[test].get(key, 0.0) / 100 for key in self.columns.values())
            rows.append([row, *(f'{value:.3f}' for value in values)])
        return text_table(rows, ['8 labeled images', *self.columns])

    def progress(self, line: str) -> str | None:
        """The metrics in a line of the log, if it reports an evaluation."""
        found = re.search(r'Iter\(val\).*masked_l1: (\S+)', line)
        return f'masked L1 {float(found[1]):.3f}' if found else super().progress(line)


Example = Detection | Segmentation | Video
EXAMPLES: dict[str, Example] = {
    'detection': Detection(),
    'segmentation': Segmentation(),
    'video': Video(),
    'pretraining': Pretraining(),
}
