# Table 5, Video-SwinV2-G, train 320(20)^2 x 8(8), test 384(24)^2 x 8(8), 1 x 1 views.
# Tests a checkpoint of the base config at 384 pixels and window (8, 24, 24); log-CPB extrapolates.
_base_ = './swinv2-giant-p244-w8x20x20_32xb2-bf16-fsdp-16x4x1-5e_kinetics400-rgb-320.py'
model = dict(backbone=dict(window_size=(8, 24, 24)))
test_pipeline = [
    dict(type='VideoInit'),
    dict(type='SampleFrames', clip_len=16, frame_interval=4, num_clips=1, test_mode=True),
    dict(type='VideoDecode'),
    dict(type='Resize', scale=(-1, 384)),
    dict(type='CenterCrop', crop_size=384),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
expected = [
    dict(metric='acc/top1', value=0.834, tolerance=0.003, source='Table 5, 384(24), 1 x 1 views'),
]
