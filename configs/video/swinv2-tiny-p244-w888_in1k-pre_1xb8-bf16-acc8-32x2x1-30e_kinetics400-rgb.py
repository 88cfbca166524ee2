# SwinV2-T on Kinetics-400 for one GPU: the recipe and the batch of 64 of
# swinv2-tiny-p244-w888_in1k-pre_8xb8-bf16-32x2x1-30e_kinetics400-rgb.py, as 8 parts of 8 clips
# before each step; no row of the paper. With activation checkpointing.
_base_ = './swinv2-tiny-p244-w888_in1k-pre_8xb8-bf16-32x2x1-30e_kinetics400-rgb.py'
model = dict(backbone=dict(with_cp=True))
optim_wrapper = dict(accumulative_counts=8)
