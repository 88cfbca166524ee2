custom_hooks = [
    dict(momentum=0.1, type='EMAHook'),
    dict(type='CheckFilesHook'),
    dict(type='CheckLabelMapsHook'),
    dict(type='BackboneWeightsHook'),
    dict(type='LoadReportHook'),
    dict(type='ResultsHook'),
    dict(type='ResumeHook'),
    dict(type='PreemptionHook'),
    dict(type='MissedValidationHook'),
    dict(type='DataFaultsHook'),
    dict(type='NonFiniteHook'),
]
custom_imports = dict(imports=['swinv2_dense', 'swinv2_dense.seg'])
data_root = 'DATA'
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=1, type='WholeCheckpointHook'))
default_scope = 'mmseg'
env_cfg = dict(
    cudnn_benchmark=True,
    dist_cfg=dict(backend='nccl'),
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
)
head = dict(
    align_corners=False,
    channels=16,
    dropout_ratio=0.1,
    loss_decode=dict(type='CrossEntropyLoss'),
    norm_cfg=dict(num_groups=4, type='GN'),
    num_classes=3,
)
launcher = 'none'
load = dict(type='LoadImageFromFile')
load_from = None
log_level = 'INFO'
log_processor = dict(by_epoch=False)
maps = dict(type='LoadAnnotations')
metainfo = dict(classes=('sky', 'road', 'tree'))
model = dict(
    backbone=dict(
        arch=dict(depths=(1, 1, 2, 1), embed_dims=16, num_heads=(1, 2, 4, 8)),
        type='SwinTransformerV2',
        window_size=4,
    ),
    data_preprocessor=dict(
        bgr_to_rgb=True,
        mean=[123.675, 116.28, 103.53],
        pad_val=0,
        seg_pad_val=255,
        size=(64, 64),
        std=[58.395, 57.12, 57.375],
        type='SegDataPreProcessor',
    ),
    decode_head=dict(
        align_corners=False,
        channels=16,
        dropout_ratio=0.1,
        in_channels=[16, 32, 64, 128],
        in_index=[0, 1, 2, 3],
        loss_decode=dict(type='CrossEntropyLoss'),
        norm_cfg=dict(num_groups=4, type='GN'),
        num_classes=3,
        pool_scales=(1, 2),
        type='UPerHead',
    ),
    test_cfg=dict(crop_size=(64, 64), mode='slide', stride=(48, 48)),
    type='TiledEncoderDecoder',
)
norm = dict(num_groups=4, type='GN')
optim_wrapper = dict(
    optimizer=dict(lr=0.0001, type='AdamW', weight_decay=0.05), type='OptimWrapper'
)
pack = dict(type='PackSegInputs')
resume = False
test_cfg = dict(type='TestLoop')
test_dataloader = dict(
    batch_size=1,
    dataset=dict(
        data_prefix=dict(img_path='images/val', seg_map_path='maps/val'),
        data_root='DATA',
        img_suffix='.png',
        metainfo=dict(classes=('sky', 'road', 'tree')),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations'),
            dict(type='PackSegInputs'),
        ],
        seg_map_suffix='.png',
        type='BaseSegDataset',
    ),
    num_workers=0,
    sampler=dict(shuffle=False, type='DefaultSampler'),
)
test_evaluator = dict(iou_metrics=['mIoU'], type='IoUMetric')
train_cfg = dict(max_iters=1, type='ResumableIterLoop', val_interval=1)
train_dataloader = dict(
    batch_size=2,
    dataset=dict(
        data_prefix=dict(img_path='images/train', seg_map_path='maps/train'),
        data_root='DATA',
        img_suffix='.png',
        metainfo=dict(classes=('sky', 'road', 'tree')),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations'),
            dict(crop_size=(64, 64), type='RandomCrop'),
            dict(prob=0.5, type='RandomFlip'),
            dict(type='PackSegInputs'),
        ],
        seg_map_suffix='.png',
        type='BaseSegDataset',
    ),
    num_workers=0,
    sampler=dict(type='InfiniteSampler'),
)
tta_model = dict(_scope_='mmseg', type='SegTTAModel')
val_cfg = dict(type='ValLoop')
val_dataloader = dict(
    batch_size=1,
    dataset=dict(
        data_prefix=dict(img_path='images/val', seg_map_path='maps/val'),
        data_root='DATA',
        img_suffix='.png',
        metainfo=dict(classes=('sky', 'road', 'tree')),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations'),
            dict(type='PackSegInputs'),
        ],
        seg_map_suffix='.png',
        type='BaseSegDataset',
    ),
    num_workers=0,
    sampler=dict(shuffle=False, type='DefaultSampler'),
)
val_evaluator = dict(iou_metrics=['mIoU'], type='IoUMetric')
vis_backends = [dict(_scope_='mmseg', type='LocalVisBackend')]
visualizer = dict(
    _scope_='mmseg',
    name='visualizer',
    type='SegLocalVisualizer',
    vis_backends=[dict(type='LocalVisBackend')],
)
work_dir = 'work_dirs/segmentor'
