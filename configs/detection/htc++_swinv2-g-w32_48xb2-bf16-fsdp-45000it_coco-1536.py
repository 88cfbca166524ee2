# Table 3, SwinV2-G (HTC++), train 1536(32), test 1100(32), on val2017.
# Appendix A2.2: initialized from the Objects365 stage, except for the mask branch; 1536 x 1536 with
# random scale 0.1 to 2.0, window 32, AdamW with lr 6e-4 at a batch of 96, weight decay 0.05, 45,000
# steps, soft-NMS.
# Assumed: InstaBoost as for SwinV2-L; the semantic branch starts from scratch, like the mask
# branch. For the rows 1100(48) and multi-scale(48), see
# htc++_swinv2-g-w48_48xb2-bf16-fsdp-test-45000it_coco-1536.py.
_base_ = [
    '../_base_/models/htc++_1536.py',
    '../_base_/datasets/coco_semantic_lsj-1536.py',
    '../_base_/schedules/adamw_45000it.py',
    '../_base_/schedules/fsdp.py',
    'mmdet::_base_/default_runtime.py',
]
channels = [512, 1024, 2048, 4096]
model = dict(
    backbone=dict(arch='g', init_cfg=None),
    neck=[
        dict(type='GlobalAttention', in_channels=channels, num_heads=128),
        dict(type='FPN', in_channels=channels, out_channels=256, num_outs=5),
    ],
)
train_dataloader = dict(sampler=dict(type='InfiniteSampler'))
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=5000))
log_processor = dict(by_epoch=False)
load_from = (
    'work_dirs/htc++-without-mask_swinv2-g-w32_48xb2-bf16-fsdp-67500it_objects365v2-1024/'
    'iter_67500.pth'
)
expected = [
    dict(metric='coco/bbox_mAP', value=0.617, tolerance=0.003, source='Table 3, G, 1100(32)'),
    dict(metric='coco/segm_mAP', value=0.533, tolerance=0.003, source='Table 3, G, 1100(32)'),
]
