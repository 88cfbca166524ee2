"""Draw loss, learning rate, metrics, speed and memory of trainings: tools/plot_log.py RUN..."""

from swinv2_dense.engine.command_line import run
from swinv2_dense.engine.plot_log import plot_log

if __name__ == '__main__':
    run(plot_log)
