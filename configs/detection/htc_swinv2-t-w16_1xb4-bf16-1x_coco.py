# Hybrid Task Cascade without the semantic branch (mmdet's) with SwinV2-T, window 8, on COCO: 12
# epochs on 8 GPUs with 2 images each. No row of the paper. The optimizer is that of its detection
# ablation (appendix A1). Assumption: drop path 0.2, as in Swin-T's 3x recipe.
_base_ = 'mmdet::htc/htc-without-semantic_r50_fpn_1x_coco.py'
custom_imports = dict(imports=['swinv2_dense', 'swinv2_dense.det'], allow_failed_imports=False)
custom_hooks = [dict(type='Fp32BordersHook')]
model = dict(
    backbone=dict(
        _delete_=True,
        type='SwinTransformerV2',
        arch='t',
        window_size=8,
        drop_path_rate=0.2,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_tiny_patch4_window8_256.pth',
        ),
    ),
    neck=dict(in_channels=[96, 192, 384, 768]),
)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    constructor='SwinV2OptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', begin=0, end=12, by_epoch=True, milestones=[8, 11], gamma=0.1),
]
