# SimMIM on SwinV2-B with the official recipe: input 192, window 12, mask ratio 0.6 in units of 32
# pixels; AdamW with lr 4e-4, weight decay 0.05, batch 2048, 800 epochs, drop path 0.1.
# The official config: simmim_pretrain__swinv2_base__img192_window12__800ep.yaml.
# Released: swinv2_base_1k_500k.pth (500,000 iterations are 800 epochs), 85.04 % top-1 on
# ImageNet-1K after fine-tuning. To continue from it, set
# model.init_cfg=dict(type='Pretrained', checkpoint=...) with its address in docs/model_zoo.md.
# Assumed: bf16 where the official code uses fp16. The log-CPB MLP and the logit scale are not
# decayed, see the schedule.
_base_ = [
    '../_base_/models/simmim.py',
    '../_base_/datasets/imagenet_unlabeled.py',
    '../_base_/schedules/adamw_800e.py',
    '../_base_/runtime/pretraining.py',
]
model = dict(backbone=dict(arch='b'))
