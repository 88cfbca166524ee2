# The optimizer's state spread over the GPUs (ZeRO-1), whole parameters to each: add it to `_base_`.
# Parameters and gradients stay on every GPU, and training is that of DDP, step by step. The
# optimizer is that of the config, any of torch.optim. Checkpoints are those of DDP.
#   bash tools/dist_train.sh CONFIG 8
runner_type = 'FlexibleRunner'
strategy = dict(
    type='ZeroStrategy',
    model_wrapper=dict(type='DeviceAgnosticDDP', broadcast_buffers=False),
)
