# mmdet's DINO (arXiv 2203.03605) with 4 scales and its COCO pipeline, on SwinV2-T. Only the
# pipeline, the model and the runtime of its config are used; the optimizer is replaced.
_base_ = 'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py'
custom_imports = dict(imports=['swinv2_dense', 'swinv2_dense.det'], allow_failed_imports=False)
custom_hooks = [dict(type='DetectorFp32Hook')]
model = dict(
    backbone=dict(
        _delete_=True,
        type='SwinTransformerV2',
        arch='t',
        window_size=16,
        drop_path_rate=0.2,
        out_indices=(1, 2, 3),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_tiny_patch4_window16_256.pth',
        ),
    ),
    neck=dict(in_channels=[192, 384, 768]),
)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    constructor='SwinV2OptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=1e-4),
    paramwise_cfg=dict(backbone_lr_mult=0.1),
    clip_grad=dict(max_norm=0.1, norm_type=2),
)
