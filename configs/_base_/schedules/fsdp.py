# Parameters, gradients and optimizer state sharded over the GPUs (FSDP), for models that do
# not fit one. Each SwinV2 block is gathered when it runs, everything else for the whole step.
# Checkpoints are whole, as without sharding; tools/test.py runs the model whole on each GPU.
#   torchrun --nproc_per_node=8 tools/train.py CONFIG --launcher pytorch
# bf16 is that of the optimizer wrapper (Bf16OptimWrapper), which keeps the parameters in fp32.
runner_type = 'FlexibleRunner'
strategy = dict(
    type='ShardedStrategy',
    model_wrapper=dict(
        type='MMFullyShardedDataParallel',
        use_orig_params=True,  # learning rate and weight decay per parameter
        auto_wrap_policy='swin_block_policy',
    ),
    state_dict_cfg='full',
)
