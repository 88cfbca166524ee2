# ZeRO-1 by DeepSpeed, where it is installed: add it to `_base_`. zero1.py needs no further package
# and is the first choice; this is for DeepSpeed's other settings, which `strategy.config` takes.
# Batch, accumulation, clipping and bf16 of the config are handed on. Checkpoints are DeepSpeed's
# folders, which it unpickles: resume from your own alone. docs/scaling.md.
#   bash tools/dist_train.sh CONFIG 8
runner_type = 'FlexibleRunner'
strategy = dict(type='DeepSpeedZeroStrategy', zero_optimization=dict(stage=1))
