"""Convert a SwinV2 backbone from any known format: tools/convert_checkpoint.py SRC DST [--help]."""

from pathlib import Path
from runpy import run_path

LAUNCH = Path(__file__).resolve().parents[1] / 'swinv2_dense/cli/launch.py'

if __name__ == '__main__':
    run_path(str(LAUNCH))['launch']('convert_checkpoint')
