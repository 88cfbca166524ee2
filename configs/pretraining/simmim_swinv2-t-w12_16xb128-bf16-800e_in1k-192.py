# SimMIM on SwinV2-T with the official recipe of SwinV2-B; not in the paper, and no weights of T
# were released. Input 192, window 12, mask ratio 0.6 in units of 32 pixels; AdamW with lr 4e-4,
# weight decay 0.05, batch 2048, 800 epochs, drop path 0.1.
# Assumed: bf16 where the official code uses fp16. The log-CPB MLP and the logit scale are not
# decayed, see the schedule.
_base_ = [
    '../_base_/models/simmim.py',
    '../_base_/datasets/imagenet_unlabeled.py',
    '../_base_/schedules/adamw_800e.py',
    '../_base_/runtime/pretraining.py',
]
