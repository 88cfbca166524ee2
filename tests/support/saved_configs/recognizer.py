classes = ('jump', 'run')
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
    dict(type='Fp32ScoresHook'),
]
custom_imports = dict(
    imports=['swinv2_dense', 'swinv2_dense.video', 'swinv2_dense.quickstart.frame_order']
)
default_hooks = dict(
    checkpoint=dict(_scope_='mmaction', interval=1, save_best='auto', type='WholeCheckpointHook'),
    logger=dict(_scope_='mmaction', ignore_last=False, interval=20, type='LoggerHook'),
    param_scheduler=dict(_scope_='mmaction', type='ParamSchedulerHook'),
    runtime_info=dict(_scope_='mmaction', type='RuntimeInfoHook'),
    sampler_seed=dict(_scope_='mmaction', type='DistSamplerSeedHook'),
    sync_buffers=dict(_scope_='mmaction', type='SyncBuffersHook'),
    timer=dict(_scope_='mmaction', type='IterTimerHook'),
)
default_scope = 'mmaction'
env_cfg = dict(
    cudnn_benchmark=False,
    dist_cfg=dict(backend='nccl'),
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
)
launcher = 'none'
load_from = None
log_level = 'INFO'
log_processor = dict(_scope_='mmaction', by_epoch=True, type='LogProcessor', window_size=20)
model = dict(
    backbone=dict(
        arch=dict(depths=(1, 1, 2, 1), embed_dims=16, num_heads=(1, 2, 4, 8)),
        type='VideoSwinTransformerV2',
        window_size=(2, 4, 4),
    ),
    cls_head=dict(
        average_clips='prob', dropout_ratio=0.5, in_channels=128, num_classes=2, type='I3DHead'
    ),
    data_preprocessor=dict(
        format_shape='NCTHW',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        type='ActionDataPreprocessor',
    ),
    test_cfg=dict(max_testing_views=2),
    type='ChunkedRecognizer3D',
)
optim_wrapper = dict(
    constructor='SwinV2OptimWrapperConstructor',
    optimizer=dict(lr=0.0001, type='AdamW', weight_decay=0.05),
    paramwise_cfg=dict(backbone_lr_mult=0.1),
    type='OptimWrapper',
)
resume = False
test_cfg = dict(type='TestLoop')
test_dataloader = dict(
    batch_size=1,
    dataset=dict(
        data_prefix=dict(video='DATA/val'),
        metainfo=dict(classes=('jump', 'run')),
        pipeline=[
            dict(type='VideoInit'),
            dict(clip_len=4, frame_interval=2, num_clips=2, test_mode=True, type='SampleFrames'),
            dict(type='VideoDecode'),
            dict(keep_ratio=False, scale=(64, 64), type='Resize'),
            dict(input_format='NCTHW', type='FormatShape'),
            dict(type='PackActionInputs'),
        ],
        test_mode=True,
        type='FolderVideoDataset',
    ),
    num_workers=0,
    sampler=dict(shuffle=False, type='DefaultSampler'),
)
test_evaluator = dict(type='AccMetric')
test_pipeline = [
    dict(type='VideoInit'),
    dict(clip_len=4, frame_interval=2, num_clips=2, test_mode=True, type='SampleFrames'),
    dict(type='VideoDecode'),
    dict(keep_ratio=False, scale=(64, 64), type='Resize'),
    dict(input_format='NCTHW', type='FormatShape'),
    dict(type='PackActionInputs'),
]
train_cfg = dict(max_epochs=1, type='ResumableEpochLoop')
train_dataloader = dict(
    batch_size=2,
    dataset=dict(
        data_prefix=dict(video='DATA/train'),
        metainfo=dict(classes=('jump', 'run')),
        pipeline=[
            dict(type='VideoInit'),
            dict(clip_len=4, frame_interval=2, num_clips=1, type='SampleFrames'),
            dict(type='VideoDecode'),
            dict(keep_ratio=False, scale=(64, 64), type='Resize'),
            dict(m=5, n=1, type='VideoRandAugment'),
            dict(input_format='NCTHW', type='FormatShape'),
            dict(type='PackActionInputs'),
        ],
        type='FolderVideoDataset',
    ),
    num_workers=0,
    sampler=dict(shuffle=True, type='DefaultSampler'),
)
train_pipeline = [
    dict(type='VideoInit'),
    dict(clip_len=4, frame_interval=2, num_clips=1, type='SampleFrames'),
    dict(type='VideoDecode'),
    dict(keep_ratio=False, scale=(64, 64), type='Resize'),
    dict(m=5, n=1, type='VideoRandAugment'),
    dict(input_format='NCTHW', type='FormatShape'),
    dict(type='PackActionInputs'),
]
val_cfg = dict(type='ValLoop')
val_dataloader = dict(
    batch_size=1,
    dataset=dict(
        data_prefix=dict(video='DATA/val'),
        metainfo=dict(classes=('jump', 'run')),
        pipeline=[
            dict(type='VideoInit'),
            dict(clip_len=4, frame_interval=2, num_clips=2, test_mode=True, type='SampleFrames'),
            dict(type='VideoDecode'),
            dict(keep_ratio=False, scale=(64, 64), type='Resize'),
            dict(input_format='NCTHW', type='FormatShape'),
            dict(type='PackActionInputs'),
        ],
        test_mode=True,
        type='FolderVideoDataset',
    ),
    num_workers=0,
    sampler=dict(shuffle=False, type='DefaultSampler'),
)
val_evaluator = dict(type='AccMetric')
vis_backends = [dict(_scope_='mmaction', type='LocalVisBackend')]
visualizer = dict(
    _scope_='mmaction', type='ActionVisualizer', vis_backends=[dict(type='LocalVisBackend')]
)
work_dir = 'work_dirs/recognizer'
