# UperNet with SwinV2-T, window 16, on ADE20K at 512 x 512 for one GPU. Not in the paper, but with
# the recipe of its ablation (appendix A1), and weights of window 16, bf16 and activation
# checkpointing.
_base_ = [
    '../_base_/models/upernet.py',
    'mmseg::_base_/datasets/ade20k.py',
    '../_base_/schedules/adamw_160k.py',
    '../_base_/runtime/segmentation.py',
]
model = dict(backbone=dict(with_cp=True))
train_dataloader = dict(batch_size=16, num_workers=8)
optim_wrapper = dict(type='Bf16OptimWrapper')
