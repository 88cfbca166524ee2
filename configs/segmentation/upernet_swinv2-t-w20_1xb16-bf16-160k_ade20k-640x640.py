# UperNet with SwinV2-T, window 20, on ADE20K at 640 x 640 for one GPU. Not in the paper, but with
# the recipe of its ablation (appendix A1), and weights of window 16, bf16 and activation
# checkpointing. Tested on whole images; --tta uses 0.5 to 1.75 times 640.
_base_ = [
    '../_base_/models/upernet.py',
    '../_base_/datasets/ade20k_640x640_ms.py',
    '../_base_/schedules/adamw_160k.py',
    '../_base_/runtime/segmentation.py',
]
model = dict(data_preprocessor=dict(size=(640, 640)), backbone=dict(window_size=20, with_cp=True))
train_dataloader = dict(batch_size=16, num_workers=8)
optim_wrapper = dict(type='Bf16OptimWrapper')
