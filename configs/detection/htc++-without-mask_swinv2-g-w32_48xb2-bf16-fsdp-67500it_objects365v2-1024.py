# Objects365 v2 stage of SwinV2-G (appendix A2.2), before the COCO stage
# htc++_swinv2-g-w32_48xb2-bf16-fsdp-45000it_coco-1536.py: HTC++ without masks, input [800, 1024],
# window 32, AdamW with lr 1.2e-3 at a batch of 96, weight decay 0.05, 67,500 steps. No AP is
# published.
# interleaved=False: with True, mmdet refines boxes between stages only in the mask branch. Without
# that branch, stages 2 and 3 would train on unrefined boxes. Objects365 has no stuff maps. The
# paper shards the optimizer (ZeRO-1); here, parameters and gradients are sharded, too.
# The weights of SwinV2-G were never released: set model.backbone.init_cfg.checkpoint to your own.
_base_ = [
    '../_base_/models/htc++_1536.py',
    '../_base_/datasets/objects365v2_ms-800-1024.py',
    '../_base_/schedules/adamw_67500it.py',
    '../_base_/schedules/fsdp.py',
    'mmdet::_base_/default_runtime.py',
]
channels = [512, 1024, 2048, 4096]
bbox_head = [dict(head, num_classes=365) for head in _base_.model.roi_head.bbox_head]
model = dict(
    data_preprocessor=dict(pad_mask=False, pad_seg=False, batch_augments=None),
    backbone=dict(arch='g', init_cfg=dict(checkpoint='checkpoints/swinv2_giant.pth')),
    neck=[
        dict(type='GlobalAttention', in_channels=channels, num_heads=128),
        dict(type='FPN', in_channels=channels, out_channels=256, num_outs=5),
    ],
    roi_head=dict(
        interleaved=False,
        bbox_head=bbox_head,
        mask_roi_extractor=None,
        mask_head=None,
        semantic_roi_extractor=None,
        semantic_head=None,
    ),
)
train_dataloader = dict(sampler=dict(type='InfiniteSampler'))
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=7500))
log_processor = dict(by_epoch=False)
