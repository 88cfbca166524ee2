# The config without fsdp (Table 3, SwinV2-L), with parameters, gradients and optimizer state
# sharded over the GPUs.
_base_ = ['./htc++_swinv2-l-w32_32xb2-3x_coco-1536.py', '../_base_/schedules/fsdp.py']
