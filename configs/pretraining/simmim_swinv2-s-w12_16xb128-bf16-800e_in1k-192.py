# SimMIM on SwinV2-S with the official recipe: input 192, window 12, mask ratio 0.6 in units of 32
# pixels; AdamW with lr 4e-4, weight decay 0.05, batch 2048, 800 epochs, drop path 0.1.
# The official config is that of B.
# Released: swinv2_small_1k_500k.pth (500,000 iterations are 800 epochs), 84.08 % top-1 on
# ImageNet-1K after fine-tuning. To continue from it, set
# model.init_cfg=dict(type='Pretrained', checkpoint=...) with its address in docs/model_zoo.md.
# Assumed: the schedule of B; bf16 where the official code uses fp16. The log-CPB MLP and the logit
# scale are not decayed, see the schedule.
_base_ = [
    '../_base_/models/simmim.py',
    '../_base_/datasets/imagenet_unlabeled.py',
    '../_base_/schedules/adamw_800e.py',
    '../_base_/runtime/pretraining.py',
]
model = dict(backbone=dict(arch='s'))
