"""Strip a training checkpoint for release: weights and what inference reads.

DST ends in .pth or .safetensors; the start of the file's sha256 is added to its name. A .pth keeps
the config that it was trained with, so look for paths in it that are nobody's business.
"""

import argparse
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('src', metavar='SRC', help='checkpoint of a training')
    parser.add_argument('dst', metavar='DST', type=Path, help='file to write, without checksum')
    args = parser.parse_args()
    # Imported here, as torch takes seconds that --help need not wait for.
    from swinv2_dense.checkpoints.writing import publish_checkpoint
    from swinv2_dense.errors import CheckpointError

    try:
        written = publish_checkpoint(args.src, args.dst)
    except CheckpointError as error:
        parser.exit(2, f'error: {error}\n')
    print(f'Wrote {written} ({written.stat().st_size / 2**20:.1f} MiB)')


if __name__ == '__main__':
    main()
