# Cascade Mask R-CNN (arXiv 1906.09756) on SwinV2-T with the box heads of Swin V1's detection code:
# four shared convolutions with SyncBN, one fully connected layer, class-specific boxes, GIoU loss
# on decoded boxes.
_base_ = 'mmdet::_base_/models/cascade-mask-rcnn_r50_fpn.py'
custom_imports = dict(imports=['swinv2_dense', 'swinv2_dense.det'], allow_failed_imports=False)
custom_hooks = [dict(type='DetectorFp32Hook')]
model = dict(
    backbone=dict(
        _delete_=True,
        type='SwinTransformerV2',
        arch='t',
        window_size=16,
        drop_path_rate=0.2,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_tiny_patch4_window8_256.pth',
        ),
    ),
    neck=dict(in_channels=[96, 192, 384, 768]),
    roi_head=dict(
        bbox_head=[
            dict(
                type='Shared4Conv1FCBBoxHead',
                in_channels=256,
                fc_out_channels=1024,
                roi_feat_size=7,
                num_classes=80,
                norm_cfg=dict(type='SyncBN', requires_grad=True),
                reg_class_agnostic=False,
                reg_decoded_bbox=True,
                bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_stds=[xy, xy, wh, wh]),
                loss_cls=dict(type='CrossEntropyLoss'),
                loss_bbox=dict(type='GIoULoss', loss_weight=10.0),
            )
            for xy, wh in [(0.1, 0.2), (0.05, 0.1), (0.033, 0.067)]
        ]
    ),
)
