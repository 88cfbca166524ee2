# Table 4, SwinV2-G (UperNet), train 640(40), test 640(40).
# Appendix A2.2: 640 x 640, window 40, AdamW with lr 4e-5 and weight decay 0.05, linear decay after
# 750 iterations of warm-up, batch 32, 80K iterations, drop path 0.4. Assumed, because the paper
# does not specify it: data as for SwinV2-L, bf16, and the assumptions of the fragments. The weights
# of SwinV2-G were never released: set model.backbone.init_cfg to your own.
# For the rows 896(56) and multi-scale 896(56), see
#   upernet_swinv2-g-w56_16xb2-bf16-fsdp-test-80k_ade20k-896x896.py
_base_ = [
    '../_base_/models/upernet_l-640.py',
    '../_base_/datasets/ade20k_640x640_ms.py',
    '../_base_/schedules/adamw_80k.py',
    '../_base_/schedules/fsdp.py',
    '../_base_/runtime/segmentation.py',
]
model = dict(
    backbone=dict(arch='g', drop_path_rate=0.4, init_cfg=None),
    decode_head=dict(in_channels=[512, 1024, 2048, 4096]),
    auxiliary_head=dict(in_channels=2048),
)
train_dataloader = dict(batch_size=2)
optim_wrapper = dict(type='Bf16OptimWrapper')
expected = [
    dict(metric='mIoU', value=59.1, tolerance=0.5, source='Table 4, G, 640(40)'),
]
