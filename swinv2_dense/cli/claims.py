"""Check a claim of the paper in miniature."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from ..checks.paths import check_writable
from ..claims.report import Results, plot, table
from .options import claims_parser


def main(argv: Sequence[str] | None = None) -> None:
    """`claims CLAIM [flags]`."""
    parser = claims_parser()
    args = parser.parse_args(argv)
    if args.seeds < 1 or (args.steps is not None and args.steps < 1):
        parser.error('--seeds and --steps must be at least 1')
    claim = importlib.import_module(f'swinv2_dense.claims.{args.claim}')
    steps = args.steps or claim.STEPS
    try:
        check_writable('--out', args.out)
        results = Results.read(args.out / f'{args.claim}.json', steps)
    except ValueError as error:
        parser.error(str(error))
    print(claim.CLAIM)
    for seed in range(args.seeds):
        if results.has(seed):
            print(f'seed {seed}: already in {results.path}')
            continue
        rows = []
        for row in claim.run(seed, steps):
            rows.append(row)
            shown = (f'{k} {v:.4g}' if isinstance(v, float) else f'{k} {v}' for k, v in row.items())
            print(f'seed {seed}: ' + ', '.join(shown), flush=True)
        results.add(seed, rows)
    text = table(claim, results.rows(args.seeds))
    (args.out / f'{args.claim}.md').write_text(f'{claim.CLAIM}\n\n{text}\n')
    plot(claim, results.rows(args.seeds), args.out / f'{args.claim}.png')
    print(text)
    print(f'Wrote {args.claim}.json, {args.claim}.md and {args.claim}.png to {args.out}')
