# SwinV2-T on Kinetics-400 for one GPU; not in the paper. Recipe and batch of 64 are those of
# swinv2-tiny-p244-w888_in1k-pre_8xb8-bf16-32x2x1-30e_kinetics400-rgb.py, with gradients of 8 passes
# with 8 clips each accumulated per step, and activation checkpointing.
_base_ = './swinv2-tiny-p244-w888_in1k-pre_8xb8-bf16-32x2x1-30e_kinetics400-rgb.py'
model = dict(backbone=dict(with_cp=True))
optim_wrapper = dict(accumulative_counts=8)
