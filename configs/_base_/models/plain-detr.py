# Plain-DETR (arXiv 2308.01904) on SwinV2-S for COCO's 80 classes, as its released code has it: the
# last map, whose two blocks attend globally, at stride 16; proposals at strides 8 to 64 from it; 6
# decoder layers with BoxRPB; 300 one-to-one and 1500 one-to-many queries. Epsilons are those that
# the released weights were trained with.
_base_ = 'mmdet::_base_/default_runtime.py'
custom_imports = dict(imports=['swinv2_dense', 'swinv2_dense.det'], allow_failed_imports=False)
custom_hooks = [dict(type='DetectorFp32Hook')]
model = dict(
    type='PlainDETR',
    num_queries=300,
    num_one_to_many=1500,
    coordinates=dict(type='NormalizedBoxes'),
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=1,
    ),
    backbone=dict(
        type='SwinTransformerV2',
        arch='s',
        window_size=16,
        global_blocks={3: [0, 1]},
        drop_path_rate=0.1,
        out_indices=(3,),
        norm_eps=1e-6,
        cosine_eps=5e-5,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_small_patch4_window16_256.pth',
        ),
    ),
    neck=[
        dict(type='MapUpsampling', in_channels=768),
        dict(
            type='ChannelMapper',
            in_channels=[384],
            kernel_size=1,
            out_channels=256,
            bias=True,
            act_cfg=None,
            norm_cfg=dict(type='GN', num_groups=32),
        ),
    ],
    positional_encoding=dict(type='CellSinePositionalEncoding', num_feats=128),
    decoder=dict(num_layers=6, embed_dims=256, num_heads=8, feedforward_channels=2048),
    bbox_head=dict(
        type='PlainDETRHead',
        num_classes=80,
        one_to_many=6,
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=2.0),
        loss_bbox=dict(type='L1Loss', loss_weight=5.0),
        loss_iou=dict(type='GIoULoss', loss_weight=2.0),
    ),
    train_cfg=dict(
        assigner=dict(
            type='HungarianAssigner',
            match_costs=[
                dict(type='FocalLossCost', weight=2.0),
                dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
                dict(type='IoUCost', iou_mode='giou', weight=2.0),
            ],
        )
    ),
    test_cfg=dict(max_per_img=100),
)
