# Mask2Former (instance segmentation) on SwinV2-L, window 16, for 100 epochs. Not in the paper. No
# mask AP of Swin V1-L is published there. Weights of ImageNet-22K, then 1K. 200 queries, as in
# its recipe for large backbones.
_base_ = './mask2former_swinv2-t-w16_8xb2-50e_coco.py'
model = dict(
    backbone=dict(
        arch='l',
        with_cp=True,
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_large_patch4_window12to16_192to256_22kto1k_ft.pth'
        ),
    ),
    panoptic_head=dict(in_channels=[192, 384, 768, 1536], num_queries=200),
)
train_dataloader = dict(batch_size=1, num_workers=1)
param_scheduler = dict(end=737500, milestones=[655556, 710184])
train_cfg = dict(max_iters=737500, dynamic_intervals=[(735001, 737500)])
