"""Strip a training checkpoint for release."""

from __future__ import annotations

from collections.abc import Sequence

from ..checkpoints.writing import publish_checkpoint
from .options import publish_checkpoint_parser


def main(argv: Sequence[str] | None = None) -> None:
    """`publish_checkpoint SRC DST`."""
    args = publish_checkpoint_parser().parse_args(argv)
    written = publish_checkpoint(args.src, args.dst)
    print(f'Wrote {written} ({written.stat().st_size / 2**20:.1f} MiB)')
