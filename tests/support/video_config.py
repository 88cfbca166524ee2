"""A config of a small recognizer."""

from __future__ import annotations

ARCH = dict(embed_dims=16, depths=(1, 1, 1, 1), num_heads=(1, 2, 4, 8))


VIDEO = f"""
_base_ = ['mmaction::_base_/models/swin_tiny.py', 'mmaction::_base_/default_runtime.py']
custom_imports = dict(imports=['swinv2_dense'])
model = dict(
    backbone=dict(_delete_=True, type='VideoSwinTransformerV2', arch={ARCH}, window_size=(2, 4, 4)),
    cls_head=dict(in_channels=128),
)
pipeline = [
    dict(type='DecordInit'),
    dict(type='SampleFrames', clip_len=4, frame_interval=2, num_clips=1),
    dict(type='DecordDecode'),
    dict(type='Resize', scale=(64, 48), keep_ratio=False),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
loader = dict(
    batch_size=3,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='VideoDataset', ann_file='LIST', data_prefix=dict(video='VIDEOS'), pipeline=pipeline),
)
train_dataloader = val_dataloader = test_dataloader = loader
val_evaluator = test_evaluator = dict(type='AccMetric')
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    constructor='SwinV2OptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.02),
)
default_hooks = dict(logger=dict(interval=1))
"""
