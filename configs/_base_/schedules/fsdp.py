# Parameters, gradients and optimizer state sharded over the GPUs (FSDP), for models that do not fit
# on one: add it to `_base_`. Each SwinV2 block is gathered when it runs, everything else for the
# whole step. tools/test.py runs the unsharded model on each GPU.
#   bash tools/dist_train.sh CONFIG 8
# For bf16, use Bf16OptimWrapper, which keeps the parameters in fp32.
runner_type = 'FlexibleRunner'
strategy = dict(
    type='ShardedStrategy',
    model_wrapper=dict(
        type='MMFullyShardedDataParallel',
        use_orig_params=True,  # learning rate and weight decay per parameter
        auto_wrap_policy='swin_block_policy',
    ),
    state_dict_cfg='full',  # same checkpoints as without sharding; 'local': a folder of shards
)
