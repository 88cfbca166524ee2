"""Time and memory of the backbones, beside other libraries: python tools/benchmark.py [flags].

Every combination of --arch, --size, --window, --phase and --dtype is a case. Each library runs in a
process of its own, with the same weights; their maps are compared first, then they run in turn.
Sizes: 512, 512x768, or 16x224x224 for video; windows likewise. Video is compared with mmaction2's
Swin V1, by time and memory alone.

    python tools/benchmark.py --size 1024 --window 32 --against hf,timm,mmpretrain
    python tools/benchmark.py --arch b --size 16x320x320 --window 8x20x20 --phase training --with-cp
    python tools/benchmark.py --size 16x224x224 --window 8x7x7 --against mmaction2
"""

import argparse
import itertools
import json
import sys
from pathlib import Path

import torch

from swinv2_dense.arguments import ARCHS
from swinv2_dense.benchmark.compare import environment, line, plot, run_case, table
from swinv2_dense.benchmark.peers import PACKAGES
from swinv2_dense.benchmark.worker import DTYPES, Case
from swinv2_dense.checks.paths import check_writable
from swinv2_dense.models.attention import CHOICES


def sizes(text: str) -> tuple[int, ...]:
    """One number, or one per axis."""
    values = tuple(int(part) for part in text.split('x'))
    if len(values) > 3 or min(values) < 1:
        raise ValueError(text)
    return values


def libraries(text: str) -> list[str]:
    """Names of peers."""
    names = text.split(',')
    if not set(names) <= set(PACKAGES):
        raise argparse.ArgumentTypeError(f'{text!r}: choose from {", ".join(PACKAGES)}')
    return names


def cases(args: argparse.Namespace) -> list[Case]:
    """All combinations."""
    found = []
    for arch, size, window, phase, dtype in itertools.product(
        args.arch, args.size, args.window, args.phase, args.dtype
    ):
        rank = max(len(size), 2)
        size, window = (v * rank if len(v) == 1 else v for v in (size, window))
        if len(size) != len(window):
            raise ValueError(f'--size {size} and --window {window} have different numbers of axes')
        found.append(
            Case(
                arch=arch,
                size=size,
                window=window,
                phase=phase,
                dtype=dtype,
                weights=args.weights,
                device=args.device,
                batch=args.batch,
                with_cp=args.with_cp,
                sequential_attention=args.sequential_attention,
                attention_backend=args.backend,
            )
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    parser.add_argument('--arch', nargs='+', default=['t'], choices=list(ARCHS))
    parser.add_argument('--size', nargs='+', type=sizes, default=[(512,)], metavar='SIZE')
    parser.add_argument('--window', nargs='+', type=sizes, default=[(16,)], metavar='WINDOW')
    parser.add_argument('--phase', nargs='+', default=['forward'], choices=['forward', 'training'])
    parser.add_argument(
        '--dtype', nargs='+', default=['fp32'], choices=list(DTYPES), help='bf16, fp16: autocast'
    )
    parser.add_argument(
        '--weights', default='fp32', choices=['fp32', 'bf16'], help='dtype of our parameters'
    )
    parser.add_argument('--batch', type=int, default=1)
    parser.add_argument('--with-cp', action='store_true', help='our activation checkpointing')
    parser.add_argument('--sequential-attention', action='store_true', help='our setting')
    parser.add_argument('--backend', default='auto', choices=CHOICES, help='our attention')
    parser.add_argument(
        '--against', type=libraries, default=[], metavar='LIB,..', help=', '.join(PACKAGES)
    )
    parser.add_argument('--runs', type=int, default=3, help='after one that does not count')
    parser.add_argument('--device', default=device, choices=['cpu', 'cuda'])
    parser.add_argument(
        '--out', type=Path, metavar='DIR', help='write benchmark.json, .md and .png there'
    )
    args = parser.parse_args()
    if args.runs < 1 or args.batch < 1:
        parser.error('--runs and --batch must be at least 1')
    if args.weights != 'fp32' and args.against:
        parser.error(f'--weights {args.weights} is for ours alone: leave --against out')
    try:
        if args.out:
            check_writable('--out', args.out)
        todo = cases(args)
    except ValueError as error:
        parser.error(str(error))
    rows = []
    for case in todo:
        for row in run_case(case, args.against, args.runs):
            rows.append(row)
            print(line(row), file=sys.stderr, flush=True)
    print(table(rows))
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        record = dict(environment=environment(args.device), rows=rows)
        (args.out / 'benchmark.json').write_text(json.dumps(record, indent=1))
        (args.out / 'benchmark.md').write_text(table(rows) + '\n')
        plot(rows, args.out / 'benchmark.png')
        print(f'Wrote benchmark.json, benchmark.md and benchmark.png to {args.out}')
    if any('error' in row for row in rows):
        sys.exit(1)


if __name__ == '__main__':
    main()
