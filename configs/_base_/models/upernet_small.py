# UperNet with its FCN head (see upernet.py), sized for images of 128 pixels on a CPU: every part at
# an eighth of its usual width. In contrast to upernet.py, the heads have group norm, for small
# batches.
custom_imports = dict(imports=['swinv2_dense', 'swinv2_dense.seg'], allow_failed_imports=False)
num_classes = 6
norm = dict(type='GN', num_groups=8)
model = dict(
    type='TiledEncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(128, 128),
    ),
    backbone=dict(
        type='SwinTransformerV2',
        arch=dict(embed_dims=32, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8)),
        window_size=8,
        drop_path_rate=0.0,
        # As in htc++_small.py: the usual initialization is too small for so few channels, and
        # zero-initialized norms leave the blocks idle at first.
        init_cfg=[
            dict(type='Xavier', layer='Linear'),
            dict(type='Constant', layer='LayerNorm', val=1.0),
        ],
    ),
    decode_head=dict(
        type='UPerHead',
        in_channels=[32, 64, 128, 256],
        in_index=[0, 1, 2, 3],
        pool_scales=(1, 2, 3, 6),
        channels=64,
        dropout_ratio=0.1,
        num_classes=num_classes,
        norm_cfg=norm,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss'),
    ),
    auxiliary_head=dict(
        type='FCNHead',
        in_channels=128,
        in_index=2,
        channels=32,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.1,
        num_classes=num_classes,
        norm_cfg=norm,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', loss_weight=0.4),
    ),
    test_cfg=dict(mode='whole'),
)
