# Parameters, gradients and optimizer state sharded over the GPUs (FSDP), for models that do not fit
# on one: add it to `_base_`. Each SwinV2 block is gathered when it runs, everything else for the
# forward and again for the backward pass. tools/test.py runs the unsharded model on each GPU.
#   bash tools/dist_train.sh CONFIG 8
# For bf16, use Bf16OptimWrapper, which keeps the parameters in fp32.
runner_type = 'FlexibleRunner'
strategy = dict(
    type='ShardedStrategy',
    state_dict_cfg='full',  # same checkpoints as without sharding; 'local': a folder of shards
)
