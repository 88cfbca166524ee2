classes = ('red', 'green')
custom_hooks = [
    dict(type='CheckFilesHook'),
    dict(type='BackboneWeightsHook'),
    dict(type='LoadReportHook'),
    dict(type='ResultsHook'),
    dict(type='ResumeHook'),
    dict(type='PreemptionHook'),
    dict(type='MissedValidationHook'),
    dict(type='DataFaultsHook'),
    dict(type='NonFiniteHook'),
    dict(type='Fp32BordersHook'),
]
custom_imports = dict(imports=['swinv2_dense', 'swinv2_dense.det'])
data_root = 'DATA/'
default_hooks = dict(
    checkpoint=dict(_scope_='mmdet', interval=1, type='WholeCheckpointHook'),
    logger=dict(_scope_='mmdet', interval=50, type='LoggerHook'),
    param_scheduler=dict(_scope_='mmdet', type='ParamSchedulerHook'),
    sampler_seed=dict(_scope_='mmdet', type='DistSamplerSeedHook'),
    timer=dict(_scope_='mmdet', type='IterTimerHook'),
    visualization=dict(_scope_='mmdet', type='DetVisualizationHook'),
)
default_scope = 'mmdet'
env_cfg = dict(
    cudnn_benchmark=False,
    dist_cfg=dict(backend='nccl'),
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
)
launcher = 'none'
load = dict(type='LoadImageFromFile')
load_from = None
log_level = 'INFO'
log_processor = dict(_scope_='mmdet', by_epoch=True, type='LogProcessor', window_size=50)
model = dict(
    backbone=dict(
        arch=dict(depths=(1, 1, 2, 1), embed_dims=16, num_heads=(1, 2, 4, 8)),
        drop_path_rate=0.1,
        type='SwinTransformerV2',
        window_size=4,
    ),
    bbox_head=dict(
        feat_channels=16,
        in_channels=16,
        norm_cfg=dict(num_groups=4, type='GN'),
        num_classes=2,
        stacked_convs=1,
        strides=[4, 8, 16, 32, 64],
        type='FCOSHead',
    ),
    data_preprocessor=dict(
        bgr_to_rgb=True,
        mean=[123.675, 116.28, 103.53],
        pad_size_divisor=32,
        std=[58.395, 57.12, 57.375],
        type='DetDataPreprocessor',
    ),
    neck=dict(in_channels=[16, 32, 64, 128], num_outs=5, out_channels=16, type='FPN'),
    test_cfg=dict(
        max_per_img=5,
        min_bbox_size=0,
        nms=dict(iou_threshold=0.5, type='nms'),
        nms_pre=100,
        score_thr=0.0,
    ),
    type='FCOS',
)
optim_wrapper = dict(
    constructor='SwinV2OptimWrapperConstructor',
    optimizer=dict(lr=0.0001, type='AdamW', weight_decay=0.05),
    paramwise_cfg=dict(layer_decay=0.9),
    type='Bf16OptimWrapper',
)
resume = False
test_cfg = dict(type='TestLoop')
test_dataloader = dict(
    batch_size=1,
    dataset=dict(
        ann_file='annotations/val.json',
        data_prefix=dict(img='val/'),
        data_root='DATA/',
        metainfo=dict(classes=('red', 'green')),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(keep_ratio=True, scale=(128, 96), type='Resize'),
            dict(type='LoadAnnotations', with_bbox=True),
            dict(
                meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
                type='PackDetInputs',
            ),
        ],
        test_mode=True,
        type='CocoDataset',
    ),
    num_workers=0,
    sampler=dict(shuffle=False, type='DefaultSampler'),
)
test_evaluator = dict(
    ann_file='DATA/annotations/val.json', classwise=True, metric='bbox', type='CocoMetric'
)
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(keep_ratio=True, scale=(128, 96), type='Resize'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
        type='PackDetInputs',
    ),
]
train_cfg = dict(max_epochs=1, type='ResumableEpochLoop')
train_dataloader = dict(
    batch_size=1,
    dataset=dict(
        ann_file='annotations/train.json',
        data_prefix=dict(img='train/'),
        data_root='DATA/',
        metainfo=dict(classes=('red', 'green')),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True),
            dict(keep_ratio=True, scale=(128, 96), type='Resize'),
            dict(prob=0.5, type='RandomFlip'),
            dict(type='PackDetInputs'),
        ],
        type='CocoDataset',
    ),
    num_workers=0,
    sampler=dict(shuffle=True, type='DefaultSampler'),
)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(keep_ratio=True, scale=(128, 96), type='Resize'),
    dict(prob=0.5, type='RandomFlip'),
    dict(type='PackDetInputs'),
]
val_cfg = dict(type='ValLoop')
val_dataloader = dict(
    batch_size=1,
    dataset=dict(
        ann_file='annotations/val.json',
        data_prefix=dict(img='val/'),
        data_root='DATA/',
        metainfo=dict(classes=('red', 'green')),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(keep_ratio=True, scale=(128, 96), type='Resize'),
            dict(type='LoadAnnotations', with_bbox=True),
            dict(
                meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
                type='PackDetInputs',
            ),
        ],
        test_mode=True,
        type='CocoDataset',
    ),
    num_workers=0,
    sampler=dict(shuffle=False, type='DefaultSampler'),
)
val_evaluator = dict(
    ann_file='DATA/annotations/val.json', classwise=True, metric='bbox', type='CocoMetric'
)
vis_backends = [dict(_scope_='mmdet', type='LocalVisBackend')]
visualizer = dict(
    _scope_='mmdet',
    name='visualizer',
    type='DetLocalVisualizer',
    vis_backends=[dict(type='LocalVisBackend')],
)
work_dir = 'work_dirs/detector'
