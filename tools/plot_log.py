"""Plot loss, learning rate, metrics, speed and memory of trainings: tools/plot_log.py RUN..."""

from pathlib import Path
from runpy import run_path

HELP = Path(__file__).resolve().parents[1] / 'swinv2_dense/cli/help.py'
if HELP.is_file():  # before the imports below, which take seconds
    run_path(str(HELP), run_name='plot_log')

from swinv2_dense.cli.common import run
from swinv2_dense.cli.plot_log import plot_log

if __name__ == '__main__':
    run(plot_log)
