# mmseg's Mask2Former (arXiv 2112.01527) for ADE20K's 150 classes with its pipeline and schedule of
# 160,000 steps at a batch of 16, on SwinV2-T for crops of 512 x 512. Its pixel decoder and losses
# are mmdet's, so it needs mmdet.
_base_ = 'mmseg::mask2former/mask2former_r50_8xb2-160k_ade20k-512x512.py'
custom_imports = dict(
    imports=['mmdet.models', 'swinv2_dense', 'swinv2_dense.seg', 'swinv2_dense.det.precision'],
    allow_failed_imports=False,
)
custom_hooks = [dict(type='DetectorFp32Hook')]  # deformable attention has no bf16 kernel
tta_model = dict(type='TiledSegTTAModel')
model = dict(
    type='TiledEncoderDecoder',
    backbone=dict(
        _delete_=True,
        type='SwinTransformerV2',
        arch='t',
        window_size=16,
        drop_path_rate=0.3,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_tiny_patch4_window16_256.pth',
        ),
    ),
    decode_head=dict(in_channels=[96, 192, 384, 768]),
)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    constructor='SwinV2OptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(backbone_lr_mult=0.1, no_decay=('query_embed', 'query_feat', 'level_embed')),
    clip_grad=dict(max_norm=0.01, norm_type=2),
)
