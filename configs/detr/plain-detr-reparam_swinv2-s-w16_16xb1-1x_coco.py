# Plain-DETR with BoxRPB, a backbone pre-trained by SimMIM, and box reparameterization: 50.9 AP on
# val2017 (Table 2, row 6, released code impiga/Plain-DETR). Boxes are in pixels, box cost and loss
# have weight 1, cells are encoded without normalization.
_base_ = './plain-detr_swinv2-s-w16_16xb1-1x_coco.py'
model = dict(
    coordinates=dict(type='PixelBoxes'),
    backbone=dict(
        init_cfg=dict(
            checkpoint='hf://zdaxie/SimMIM/simmim_swinv2_pretrain_models/swinv2_small_1k_500k.pth'
        )
    ),
    positional_encoding=dict(normalize=False),
    bbox_head=dict(loss_bbox=dict(loss_weight=1.0)),
    train_cfg=dict(
        assigner=dict(
            match_costs=[
                dict(type='FocalLossCost', weight=2.0),
                dict(type='BoxDeltaL1Cost', weight=1.0),
                dict(type='IoUCost', iou_mode='giou', weight=2.0),
            ]
        )
    ),
)
optim_wrapper = dict(paramwise_cfg=dict(backbone_lr_mult=1.0, layer_decay=0.9))
expected = [dict(metric='coco/bbox_mAP', value=0.509, tolerance=0.003, source='Table 2, row 6')]
