"""What a training needs per GPU, from counts: python tools/plan.py CONFIG --gpus N [--help]."""

from swinv2_dense.engine.command_line import run
from swinv2_dense.engine.plan import plan

if __name__ == '__main__':
    run(plan)
