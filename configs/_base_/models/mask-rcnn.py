# mmdet's Mask R-CNN (arXiv 1703.06870) with an FPN, on SwinV2-T.
_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'
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
            'swinv2_tiny_patch4_window16_256.pth',
        ),
    ),
    neck=dict(in_channels=[96, 192, 384, 768]),
)
