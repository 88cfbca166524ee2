# Optimizer state sharded over the GPUs by whole parameters (ZeRO-1): add it to `_base_`. Parameters
# and gradients stay on every GPU, and training equals DDP step by step. Works with any optimizer of
# torch.optim. Checkpoints are the same as those of DDP.
#   bash tools/dist_train.sh CONFIG 8
runner_type = 'FlexibleRunner'
strategy = dict(
    type='ZeroStrategy',
    model_wrapper=dict(type='DeviceAgnosticDDP', broadcast_buffers=False),
)
