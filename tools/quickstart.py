"""Generate a small data set, train HTC++ with SwinV2 on it, evaluate and draw what it learned.

Needs no download and no GPU: about ten minutes on two CPU cores. Ends with an error if the detector
misses the AP50 that it should reach.
"""

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

from swinv2_dense.quickstart.report import draw_curves, draw_panel
from swinv2_dense.quickstart.shapes import ShapesSpec, write_dataset

ROOT = Path(__file__).resolve().parents[1]
DATA_ROOT = ROOT / 'data/shapes'  # the one that the config names
CONFIG = 'configs/quickstart/htc++_swinv2-c32-w8_1xb8-600it_shapes-128.py'
COCO_CONFIG = 'configs/detection/htc_swinv2-t-w16_1xb4-bf16-1x_coco.py'
COLUMNS = {
    'AP': 'mAP',
    'AP50': 'mAP_50',
    'AP75': 'mAP_75',
    'AP small': 'mAP_s',
    'AP medium': 'mAP_m',
}


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    spec = ShapesSpec()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument('--work-dir', type=Path, default=ROOT / 'work_dirs/quickstart')
    parser.add_argument('--data-root', type=Path, default=DATA_ROOT, help='generated data')
    parser.add_argument('--train-images', type=int, default=spec.train)
    parser.add_argument('--val-images', type=int, default=spec.val)
    parser.add_argument('--seed', type=int, default=spec.seed, help='of data and training')
    parser.add_argument('--target', type=float, default=0.6, help='box and mask AP50 to reach')
    parser.add_argument(
        '--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='changes to the config'
    )
    return parser.parse_args(argv)


def short(path: Path) -> str:
    """A path as one would type it in the project's folder, where the tools run."""
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def show(line: str) -> None:
    """Print what a line of a tool's log says about its progress; most lines say nothing."""
    if found := re.search(r'Iter\(train\) \[ *(\d+/\d+)\].* eta: (\S+).* loss: (\S+)', line):
        print(f'  iteration {found[1]}, loss {float(found[3]):.2f}, {found[2]} left', flush=True)
    elif found := re.search(r'Iter\(val\).*bbox_mAP_50: (\S+).*segm_mAP_50: (\S+)', line):
        print(f'  unseen images: box AP50 {found[1][:5]}, mask AP50 {found[2][:5]}', flush=True)


def run(log: Path, *command: str | Path) -> None:
    """Run a tool as a user would, with its output in `log` and its progress on the screen."""
    words = [short(word) if isinstance(word, Path) else word for word in command]
    print(f'\n$ python {shlex.join(words)}\n  (output in {short(log)})', flush=True)
    # The operators are too small to share: a second thread gains 15 % on idle cores, and on busy
    # ones its spinning makes a step ten times slower.
    environment = {'OMP_NUM_THREADS': '1', **os.environ}
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open('w') as file,
        subprocess.Popen(
            [sys.executable, *words],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        for line in process.stdout:
            file.write(line)
            show(line)
    if process.returncode:
        print(''.join(log.read_text().splitlines(keepends=True)[-15:]), file=sys.stderr)
        sys.exit(f'quickstart: {words[0]} failed; the end of {log} is above.')


def data_options(data_root: Path, annotations: Path) -> list[str]:
    """Config options for data that lie elsewhere than the config says."""
    if data_root == DATA_ROOT:
        return []
    splits = ('train', 'val', 'test')
    return [
        *(f'{split}_dataloader.dataset.data_root={data_root}/' for split in splits),
        *(f'{split}_evaluator.ann_file={annotations}' for split in splits[1:]),
    ]


def newest(folder: Path, pattern: str) -> Path:
    """The file of the latest run below a work dir: mmengine names a folder for each by its time."""
    return max(folder.glob(pattern), key=lambda path: path.stat().st_mtime)


def print_table(metrics: dict[str, float]) -> None:
    print('\n' + ' ' * 6 + ''.join(f'{name:>11}' for name in COLUMNS))
    for row, kind in [('box', 'bbox'), ('mask', 'segm')]:
        values = [metrics.get(f'coco/{kind}_{key}', 0.0) for key in COLUMNS.values()]
        print(f'{row:<6}' + ''.join(f'{value:11.3f}' for value in values))


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    start = time.monotonic()
    work_dir, data_root = args.work_dir.resolve(), args.data_root.resolve()
    spec = ShapesSpec(args.seed, train=args.train_images, val=args.val_images)
    try:
        written = write_dataset(data_root, spec)
    except ValueError as error:
        sys.exit(f'quickstart: {error}')
    print(
        f'Data: {spec.train} training and {spec.val} validation images of textured shapes, '
        f'{"generated" if written else "generated earlier"} in {short(data_root)}'
    )
    print('Model: HTC++, a cascade of boxes and masks with a semantic branch, on a small SwinV2')

    annotations = data_root / 'annotations' / 'instances_val.json'
    results = work_dir / 'test' / 'predictions'
    options = [
        *data_options(data_root, annotations),
        f'randomness.seed={args.seed}',
        *args.cfg_options,
    ]
    run(
        work_dir / 'train.log',
        'tools/train.py',
        CONFIG,
        '--work-dir',
        work_dir,
        '--cfg-options',
        *options,
    )
    checkpoint = Path((work_dir / 'last_checkpoint').read_text())
    run(
        work_dir / 'test.log',
        'tools/test.py',
        CONFIG,
        checkpoint,
        '--work-dir',
        work_dir / 'test',
        '--cfg-options',
        *options,
        f'test_evaluator.outfile_prefix={short(results)}',
    )

    panel, curves = work_dir / 'predictions.png', work_dir / 'curves.png'
    draw_panel(annotations, data_root / 'val', results.with_suffix('.segm.json'), panel)
    draw_curves(newest(work_dir, '*/vis_data/scalars.json'), curves, args.target)
    metrics = json.loads(newest(work_dir / 'test', '*/*.json').read_text())
    reached = all(metrics.get(f'coco/{k}_mAP_50', 0.0) >= args.target for k in ('bbox', 'segm'))
    print_table(metrics)
    minutes, seconds = divmod(round(time.monotonic() - start), 60)
    print(f"""
{'Reached' if reached else 'MISSED'} the target of {args.target:.2f} for box and mask AP50 in \
{minutes} min {seconds} s.
  predictions beside the truth  {short(panel)}
  loss and AP curves            {short(curves)}
  checkpoint                    {short(checkpoint)}
Next: COCO, or your own data in its format, laid out as data/README.md says. See what the detector
will see, then train it:
  python tools/browse_dataset.py {COCO_CONFIG}
  python tools/train.py {COCO_CONFIG}""")
    return 0 if reached else 1


if __name__ == '__main__':
    sys.exit(main())
