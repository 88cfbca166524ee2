# Table 4, SwinV2-L (UperNet), train 640(40), test 640(40), multi-scale (tools/test.py --tta).
# The single-scale mIoU is not published.
# Appendix A2.1: 640 x 640, window 40, AdamW with lr 6e-5 and weight decay 0.05, linear decay after
# 375 iterations of warm-up, batch 64, 40K iterations, drop path 0.3, flips, random scale 0.5 to
# 2.0, photometric distortion. Assumed, because the paper does not specify it: no layer decay, and
# the assumptions of the fragments. For few GPUs, see
# upernet_swinv2-l-w40_4xb2-bf16-gn-acc8-40k_ade20k-640x640.py.
_base_ = [
    '../_base_/models/upernet_l-640.py',
    '../_base_/datasets/ade20k_640x640_ms.py',
    '../_base_/schedules/adamw_40k.py',
    '../_base_/runtime/segmentation.py',
]
train_dataloader = dict(batch_size=2)
expected = [
    dict(metric='mIoU', value=55.9, tolerance=0.5, tta=True, source='Table 4, L, ms 640(40)'),
]
