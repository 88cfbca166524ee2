# Plain-DETR with BoxRPB on a backbone pre-trained by SimMIM: 48.7 AP on val2017 (Table 2, row 5,
# released code impiga/Plain-DETR). Layer decay 0.9; windows of the weights are [12, 12, 12, 6].
_base_ = './plain-detr_swinv2-s-w16_16xb1-1x_coco.py'
model = dict(
    backbone=dict(
        init_cfg=dict(
            checkpoint='hf://zdaxie/SimMIM/simmim_swinv2_pretrain_models/swinv2_small_1k_500k.pth'
        )
    )
)
optim_wrapper = dict(paramwise_cfg=dict(backbone_lr_mult=1.0, layer_decay=0.9))
expected = [dict(metric='coco/bbox_mAP', value=0.487, tolerance=0.003, source='Table 2, row 5')]
